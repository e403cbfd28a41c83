"""The contract of a compression step: plan -> restructure -> transfer the weights."""

import inspect
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import wraps
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor, nn

from compression.context import Context
from compression.errors import CompressionError
from compression.network_copy import copy_network
from compression.steps import StepSettings

# What a step decided, as plain JSON-able data: all that is needed to do it again. A step declares
# its keys in a TypedDict beside it, `class Prune(Step[PrunePlan])`; `version` is that schema's.
Plan = Mapping[str, Any]
P = TypeVar("P", bound=Plan)


@dataclass(frozen=True, kw_only=True)
class StructuralPlan(Generic[P]):
    """What a step would do in a round, as far as the structure of a network decides it.

    Attributes:
        plan: gives sizes for which the steps after it can be looked at.
        exact: whether the trained network will have just these sizes; else values decide between
            them and those it has now.
    """

    plan: P
    exact: bool = True


@dataclass(frozen=True, kw_only=True)
class Treatment:
    """One layer treated, all others as they are: a point of a sensitivity scan.

    Attributes:
        layer: its name; of a group of layers, of the one that makes their channels.
        ratio: of its channels or rank that was to be kept, in (0, 1).
        kept: the ratio that is kept, as sizes are rounded.
        what: is done to it, in words that tell it from every other treatment of that layer.
        plan: makes the step's plan of it; None where the network does not work in these sizes.
    """

    layer: str
    ratio: float
    kept: float
    what: str
    plan: Callable[[], Plan | None]


@dataclass(frozen=True, kw_only=True)
class LayerSpace:
    """What a search draws of a step layer by layer (`sweep.space.by=layer`).

    Attributes:
        setting: of the step, that the drawn values become; they are called `setting.layer`. Where
            the command line gives it, nothing is drawn.
        choices: by layer, what its value is drawn from, such as `range(2,5)`; None: from the
            ratios to keep that the search has for all.
        settings: makes settings of the step out of the drawn values, by layer.
    """

    setting: str
    choices: Mapping[str, str | None]
    settings: Callable[[Mapping[str, Any]], dict[str, Any]]


# What members of a step were called in the version before; gone with the next one.
FORMER_MEMBERS = {
    "carry": "transfer_weights",
    "follow": "prune_optimizer_state",
    "trials": "treatments",
    "scanned": "scan_ratios",
}


class Step(StepSettings, Generic[P]):
    """A method that makes a network smaller, in one or several rounds of plan, apply, fine-tune.

    It keeps no state from one round to the next. To be written are `plan` and `restructure`, and
    `transfer_weights` where layers are new; all else has a default. What the data is to say of the
    new weights goes into `fit_weights`.

    Attributes:
        rounds: how often plan, apply, fine-tune repeats.
        scan_ratios: the ratios in a sensitivity scan.
        fit_settings: names of settings that decide how weights are fitted to data; a scan with
            other values of them is another scan.
    """

    rounds: int = 1
    fit_settings: ClassVar[tuple[str, ...]] = ()
    scan_ratios: ClassVar[tuple[float, ...]] = (0.25, 0.5, 0.75)

    def __init_subclass__(cls, **arguments: Any) -> None:
        """Takes a step of somebody's own that still has a member by its former name."""
        super().__init_subclass__(**arguments)
        for former, present in FORMER_MEMBERS.items():
            if former in vars(cls) and present not in vars(cls):
                warnings.warn(f"{cls.__qualname__}.{former} is called {present} now.", stacklevel=2)
                setattr(cls, present, vars(cls)[former])
        apply = vars(cls).get("apply")
        if apply is not None and "context" not in inspect.signature(apply).parameters:
            setattr(cls, "apply", _without_context(apply))  # noqa: B010 - of an earlier version

    def plan(self, network: nn.Module, context: Context, round: int) -> P:
        """Decide what to do in this round; never changes the network. To be written."""
        raise NotImplementedError

    def structural_plan(
        self, network: nn.Module, context: Context, round: int
    ) -> StructuralPlan[P] | None:
        """What structure alone decides of a round; refuses, before training, what `plan` would.

        What values decide (importance, energy, a scan) is left open; nothing that may turn out well
        is refused.

        Args:
            network: as it enters the round, on the meta device where it can run there: its values
                mean nothing.
            context: without data; has `image_size`, `entry_cost` and `with_values`, and
                `relative_latency` where the step's target is a latency.
            round: from 0.

        Returns:
            None, as here, where nothing can be said of it, nor of the steps that follow.

        Raises:
            CompressionError: as `plan`, for what structure decides.
        """
        return None

    @staticmethod
    def restructure(network: nn.Module, plan: P) -> nn.Module:
        """Change the structure only, in place, on meta too: reloading uses just this.

        To be written.
        """
        raise NotImplementedError

    @staticmethod
    def describe(plan: P) -> list[str]:
        """What the plan does, in a few lines for a person."""
        return [f"{len(plan)} entries"]

    @staticmethod
    def describe_layers(plan: P) -> dict[str, str]:
        """What was done to each layer it looked at, and why, by the layer's name."""
        return {}

    def treatments(
        self, network: nn.Module, context: Context, ratios: Sequence[float]
    ) -> list[Treatment]:
        """Each layer that the step can treat, alone, at each of the ratios that differ there.

        Raises:
            CompressionError: this step does not treat layers one by one.
        """
        raise CompressionError(f"{self.name} does not treat layers one by one: nothing to scan.")

    def layer_space(self, network: nn.Module, image_size: int | Sequence[int]) -> LayerSpace | None:
        """What a search can draw layer by layer; None, as here: one value for the whole network.

        Args:
            network: that enters the step; may be on the meta device.
            image_size: an int or [height, width] in pixels.
        """
        return None

    def apply(self, network: nn.Module, plan: P, context: Context | None = None) -> nn.Module:
        """A smaller copy with the weights transferred; `network` stays as it is.

        Args:
            network: that was planned for.
            plan: of this step.
            context: of the round; where it has the moments of layers, weights are fitted to them.
        """
        smaller = self.restructure(copy_network(network), plan)
        with torch.no_grad():
            self.transfer_weights(network, smaller, plan)
            if context is not None and context.moments is not None:
                self.fit_weights(network, smaller, plan, context)
        return smaller

    def transfer_weights(self, network: nn.Module, smaller: nn.Module, plan: P) -> None:
        """Fill the new layers of `smaller`; the untouched ones came along with the copy."""

    def fit_weights(
        self, network: nn.Module, smaller: nn.Module, plan: P, context: Context
    ) -> None:
        """Better the transferred weights by what the layers of `network` are given; nothing here.

        Args:
            network: stays as it is.
            smaller: as `transfer_weights` left it; changed in place.
            plan: of this step.
            context: has `moments`.
        """

    def prune_optimizer_state(self, plan: P, name: str, value: Tensor) -> Tensor | None:
        """What becomes of a tensor of the shape of parameter `name`, such as a moment of it.

        The same here; it is only used where the parameter still has its shape. None: it is lost.
        """
        return value

    def penalty(self, network: nn.Module) -> Tensor | None:
        """A term for the loss while the network is prepared for the step; none here."""
        return None

    def finish(self, network: nn.Module) -> nn.Module:
        """After the last fine-tuning: take off what existed only for it; nothing here."""
        return network


def _without_context(apply: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    """An `apply` of (network, plan) alone, as steps had it before."""

    @wraps(apply)
    def applied(
        self: Step, network: nn.Module, plan: Plan, context: Context | None = None
    ) -> nn.Module:
        return apply(self, network, plan)

    return applied


def match_layers(names: Sequence[str], include: Iterable[str], exclude: Iterable[str]) -> set[str]:
    """The `names` that match a pattern of `include` and none of `exclude`.

    Raises:
        CompressionError: a pattern matches no name at all; says the nearest names.
    """
    wanted = {name for pattern in include for name in _matching(pattern, names)}
    unwanted = {name for pattern in exclude for name in _matching(pattern, names)}
    return wanted - unwanted


def _matching(pattern: str, names: Sequence[str]) -> list[str]:
    found = [name for name in names if fnmatchcase(name, pattern)]
    if not found and pattern != "*":
        near = get_close_matches(pattern, names, n=3, cutoff=0.0)
        raise CompressionError(
            f"No layer matches the pattern {pattern!r}; the nearest names are {', '.join(near)}."
        )
    return found
