"""Tucker-2 factorisation of kxk convolutions.

Kim et al. 2016, "Compression of Deep Convolutional Neural Networks for Fast and Low Power Mobile
Applications", section 3: a C_out x C_in x k x k kernel becomes a 1x1, a smaller kxk and a 1x1.
"""

from collections import Counter
from collections.abc import Sequence
from math import prod

import torch
from torch import nn

from compression.cost import layer_inputs, module_macs
from compression.errors import CompressionError
from compression.factorization.tucker_layer import (
    Layer,
    channels_of,
    convolutions,
    fill_tucker_layer,
    is_tucker_layer,
    kernel_of,
    tucker_layer,
)
from compression.layer_names import chosen
from compression.meta_copy import meta_copy
from compression.step import Context, Plan, Step
from compression.target import round_target


class Tucker(Step):
    """Factorise kxk convolutions with one group at a fixed share of their channels.

    A layer that was factorised before, in an earlier round or run, is shrunk further and stays
    three convolutions. A layer that would not get cheaper is left alone; the plan says why.

    Args:
        ratio: rank as a share of the channels entering the step, for both modes, in (0, 1].
        rounds: in how many rounds to get there.
        include: name patterns of the layers to factorise.
        exclude: name patterns of layers to leave alone.

    Raises:
        CompressionError: a ratio or a number of rounds out of range.
    """

    name = "tucker"

    def __init__(
        self,
        *,
        ratio: float = 0.5,
        rounds: int = 1,
        include: Sequence[str] = ("*",),
        exclude: Sequence[str] = (),
    ) -> None:
        if not isinstance(ratio, int | float) or not 0 < ratio <= 1:
            raise CompressionError(f"tucker.ratio is a share in (0, 1], not {ratio!r}.")
        if not isinstance(rounds, int) or rounds < 1:
            raise CompressionError(f"tucker.rounds is a number from 1, not {rounds!r}.")
        self.ratio, self.rounds = ratio, rounds
        self.include, self.exclude = list(include), list(exclude)

    def plan(self, network: nn.Module, context: Context, round: int) -> Plan:
        """Ranks by layer name, and why other convolutions are left alone.

        Raises:
            CompressionError: a pattern matches nothing, or no layer of the network can be changed.
        """
        found = convolutions(network)
        wanted = chosen(list(found), self.include, self.exclude)
        shapes = layer_inputs(network, context.image_size)
        plan = {"layers": {}, "skipped": {}}
        for name, layer in found.items():
            reason = _unfit(layer) or (None if name in wanted else "excluded")
            if reason is None and name not in shapes:
                reason = "not used in the forward pass"
            if reason is None:
                choice = _choice(layer, shapes[name], self._share(layer, round))
                before, after = choice["macs"]
                reason = None if after < before else f"no cheaper ({before} -> {after} MACs)"
            if reason is None:
                plan["layers"][name] = choice
            else:
                plan["skipped"][name] = reason
        self._require_change(plan, found, last=round == self.rounds - 1)
        return plan

    @staticmethod
    def restructure(network: nn.Module, plan: Plan) -> nn.Module:
        """Put three empty convolutions where each planned layer is.

        Raises:
            CompressionError: the plan was made for another architecture.
        """
        modules = dict(network.named_modules())
        for name, choice in plan["layers"].items():
            layer = modules.get(name)
            if layer is None or not (is_tucker_layer(layer) or isinstance(layer, nn.Conv2d)):
                raise CompressionError(
                    f"The tucker plan was made for another architecture: there is no convolution "
                    f"called {name!r}."
                )
            if channels_of(layer) != list(choice["channels"]):
                raise CompressionError(
                    f"The tucker plan was made for another architecture: {name!r} has "
                    f"{channels_of(layer)} channels instead of {choice['channels']}."
                )
            network.set_submodule(name, tucker_layer(layer, choice["rank"]))
        return network

    def carry(self, network: nn.Module, smaller: nn.Module, plan: Plan) -> None:
        for name in plan["layers"]:
            fill_tucker_layer(smaller.get_submodule(name), network.get_submodule(name))

    @staticmethod
    def describe(plan: Plan) -> list[str]:
        """One line: which layers were factorised, and how many others were not and why."""
        names = list(plan["layers"])
        more = f" and {len(names) - 4} more" if len(names) > 4 else ""
        layers = "layer" if len(names) == 1 else "layers"
        text = f"factorised {len(names)} {layers}: {', '.join(names[:4])}{more}"
        return [text + "".join(f"; {reason} left alone" for reason in _counted(plan["skipped"]))]

    def _share(self, layer: Layer, round: int) -> float:
        """The rank to aim at in this round, as a share of the rank or channels found now."""
        share = round_target(self.ratio, round, self.rounds)
        if isinstance(layer, nn.Sequential):  # earlier rounds have gone part of the way
            share /= round_target(self.ratio, round - 1, self.rounds)
        return share

    def _require_change(self, plan: Plan, layers: dict[str, Layer], *, last: bool) -> None:
        """A round may do nothing, but not the whole step."""
        hopeless = all(_unfit(layer) for layer in layers.values())
        begun = self.rounds > 1 and any(
            isinstance(layer, nn.Sequential) for layer in layers.values()
        )
        if plan["layers"] or not (hopeless or (last and not begun)):
            return
        reasons = ", ".join(_counted(plan["skipped"])) or "there are no convolutions"
        raise CompressionError(
            f"tucker at ratio {self.ratio} changes no layer of this network ({reasons}); it is for "
            f"kxk convolutions with groups = 1, so choose a lower ratio or another step."
        )


def _unfit(layer: Layer) -> str | None:
    kernel = kernel_of(layer)
    if kernel.groups != 1 or kernel.kernel_size == (1, 1):
        return "grouped or 1x1"
    if type(kernel) is not nn.Conv2d:  # its own forward may do something else with the kernel
        return f"{type(kernel).__name__}"
    return None


def _choice(layer: Layer, shape: torch.Size, share: float) -> Plan:
    out_rank, in_rank = (max(1, round(share * n)) for n in channels_of(layer))
    # A mode's rank never exceeds the other's times the window: more would be padding.
    window = prod(kernel_of(layer).kernel_size)
    rank = [min(out_rank, in_rank * window), min(in_rank, out_rank * window)]
    smaller = tucker_layer(meta_copy(layer), rank)
    macs = [module_macs(layer, shape), module_macs(smaller, shape)]
    return {"rank": rank, "channels": channels_of(layer), "macs": macs}


def _counted(skipped: dict[str, str]) -> list[str]:
    """`51 grouped or 1x1 convolutions`, one text per reason."""
    counts = Counter(reason.partition(" (")[0] for reason in skipped.values())
    return [f"{n} {reason} convolution{'s' * (n > 1)}" for reason, n in counts.items()]
