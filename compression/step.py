"""The contract of a compression step: plan -> restructure -> carry the weights over."""

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

if TYPE_CHECKING:  # it loads onnxruntime, which only a measurement needs
    from compression.relative_latency import RelativeLatency

Plan = dict[str, Any]  # plain JSON-able data: all that is needed to do it again
Batches = Iterable[tuple[Tensor, Tensor]]  # (uint8 N x 3 x H x W, int64 N)


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a step may look at while it plans; all but the first three are optional."""

    sample: Tensor  # uint8 N x 3 x H x W
    image_size: tuple[int, int]  # height, width in pixels
    seed: int = 0
    train_batches: Callable[[], Batches] | None = None
    val_batches: Callable[[], Batches] | None = None
    loss: Callable[[Tensor, Tensor], Tensor] | None = None  # (logits N x classes, labels N)
    evaluate: Callable[[nn.Module], dict[str, float]] | None = None  # {"val/f1": ...}
    # Of the network as it entered the step: `macs` (of one image), `params`, and where the step
    # has a latency target `latency` (ms).
    entry_cost: dict[str, float] = field(default_factory=dict)
    relative_latency: "RelativeLatency | None" = None  # to the network as it entered the step


class CompressionStep(Protocol):
    """A method that makes a network smaller, in one or several rounds of plan, apply, fine-tune."""

    rounds: int

    def plan(self, network: nn.Module, context: Context, round: int) -> Plan:
        """Decide what to do in this round; never changes the network."""

    def restructure(self, network: nn.Module, plan: Plan) -> nn.Module:
        """Change the structure only, in place, on meta too: reloading uses just this."""

    def apply(self, network: nn.Module, plan: Plan) -> nn.Module:
        """A smaller copy of the network with the weights carried over."""

    def follow(self, plan: Plan, name: str, value: Tensor) -> Tensor | None:
        """What becomes of a tensor of the shape of parameter `name`, such as a moment of it."""

    def penalty(self, network: nn.Module) -> Tensor | None:
        """A term for the loss while the network is prepared for the step."""

    def finish(self, network: nn.Module) -> nn.Module:
        """After the last fine-tuning: take off what existed only for it."""


class Step:
    """The defaults of a `CompressionStep`. A step keeps no state from one round to the next."""

    name = "step"
    version = 1  # of the plan's meaning; a recipe of another version is refused
    rounds = 1
    last = False  # whether no step may follow this one

    def plan(self, network: nn.Module, context: Context, round: int) -> Plan:
        raise NotImplementedError

    @staticmethod
    def restructure(network: nn.Module, plan: Plan) -> nn.Module:
        raise NotImplementedError

    @staticmethod
    def describe(plan: Plan) -> list[str]:
        """What the plan does, in a few lines for a person."""
        return [f"{len(plan)} entries"]

    @staticmethod
    def describe_layers(plan: Plan) -> dict[str, str]:
        """What was done to each layer it looked at, and why, by the layer's name."""
        return {}

    def apply(self, network: nn.Module, plan: Plan) -> nn.Module:
        """Restructure a copy, then carry the weights over; `network` stays as it is."""
        smaller = self.restructure(copy.deepcopy(network), plan)
        with torch.no_grad():
            self.carry(network, smaller, plan)
        return smaller

    def carry(self, network: nn.Module, smaller: nn.Module, plan: Plan) -> None:
        """Fill the new layers of `smaller`; the untouched ones came along with the copy."""

    def follow(self, plan: Plan, name: str, value: Tensor) -> Tensor | None:
        """The same; it is only used where the parameter still has its shape."""
        return value

    def penalty(self, network: nn.Module) -> Tensor | None:
        return None

    def finish(self, network: nn.Module) -> nn.Module:
        return network
