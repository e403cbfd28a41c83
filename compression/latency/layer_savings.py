"""Why is it not faster? What a step saved layer by layer: MACs against milliseconds.

Layers are timed one by one in onnxruntime, so what lies between them (activations, norms that are
not folded, attention) is not in these times; a layer with a forward of its own is left out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeGuard

import torch
from torch import nn

from compression.cost import layer_calls, layer_macs
from compression.cost.geometry import Layer, signature
from compression.latency.layer_advice import advise
from compression.latency.layer_latency import compare_layers

PLAIN = (nn.Conv2d, nn.Linear)
FLOOR = nn.Conv2d(1, 1, 1, device="meta")  # what starting a layer takes, whatever it does
FLOOR_SHAPE = (1, 1, 1, 1)

# (layer, shape of its input) of each -> milliseconds of each, measured in turns
Timer = Callable[[Sequence[tuple[Layer, Sequence[int]]]], list[float]]


@dataclass(frozen=True, kw_only=True)
class LayerSaving:
    """One layer of the network before the step.

    Attributes:
        layer: its name.
        change: `none`, `narrower`, `factorised` or `removed`.
        macs: before and after the step, for one image.
        ms: the same in milliseconds.
        advice: why its time did not follow its MACs and what to do, where the reason is known.
    """

    layer: str
    change: str
    macs: tuple[int, int]
    ms: tuple[float, float]
    advice: str | None = None

    @property
    def missed_ms(self) -> float:
        """By how much it takes longer than if its time had fallen as its MACs did."""
        return self.ms[1] - self.ms[0] * self.macs[1] / max(self.macs[0], 1)


def layer_savings(
    before: nn.Module,
    after: nn.Module,
    image_size: int | Sequence[int],
    *,
    timer: Timer = compare_layers,
) -> list[LayerSaving]:
    """A row for each convolution, Linear and product of them in `before`, in its order.

    Pairs of one shape are timed once. Empty where the networks have no such layer in common.

    Args:
        before: the network that entered the step; it may have been factorised earlier.
        after: what the step made of it; a layer keeps its name, a removed unit is `nn.Identity`.
        image_size: an int or [height, width] in pixels.
        timer: measures layers in turns.
    """
    calls = layer_calls(before, image_size), layer_calls(after, image_size)
    pair_ms = partial(_pair_ms, timer, {})
    floor = pair_ms((FLOOR, FLOOR_SHAPE), (FLOOR, FLOOR_SHAPE))[0]
    rows = []
    for name, layer in _layers(before).items():
        if name not in calls[0]:
            continue
        left = _counterpart(after, name)
        if isinstance(left, nn.Identity):
            ms = [pair_ms((layer, s), (layer, s))[0] for s in calls[0][name]]
            whole = sum(layer_macs(layer, s) for s in calls[0][name])
            rows.append(LayerSaving(layer=name, change="removed", macs=(whole, 0), ms=(sum(ms), 0)))
        elif left is not None and len(calls[1].get(name, ())) == len(calls[0][name]):
            pairs = list(zip(calls[0][name], calls[1][name], strict=True))
            rows.append(_row(name, layer, left, pairs, pair_ms, floor))
    return rows


def _row(
    name: str,
    layer: Layer,
    left: Layer,
    shapes: list[tuple[torch.Size, torch.Size]],
    pair_ms: Callable[..., tuple[float, float]],
    floor: float,
) -> LayerSaving:
    """The row of a layer that is still there; `shapes` of its inputs before and after."""
    times = [pair_ms((layer, one), (left, other)) for one, other in shapes]
    ms = sum(one for one, _ in times), sum(other for _, other in times)
    macs = (
        sum(layer_macs(layer, one) for one, _ in shapes),
        sum(layer_macs(left, other) for _, other in shapes),
    )
    change = "none"
    if signature(layer) != signature(left):
        change = "factorised" if isinstance(left, nn.Sequential) else "narrower"
    advice = None
    if change != "none":
        advice = advise(layer, left, shapes=shapes[0], macs=macs, ms=ms, floor=floor * len(shapes))
    return LayerSaving(layer=name, change=change, macs=macs, ms=ms, advice=advice)


def _pair_ms(
    timer: Timer,
    known: dict[tuple, tuple[float, float]],
    one: tuple[Layer, Sequence[int]],
    other: tuple[Layer, Sequence[int]],
) -> tuple[float, float]:
    """Milliseconds of two layers; where they are alike it is one measurement."""
    keys = [(*signature(layer), tuple(shape)) for layer, shape in (one, other)]
    alike = keys[0] == keys[1]
    if tuple(keys) not in known:
        times = timer([one] if alike else [one, other])
        known[tuple(keys)] = times[0], times[-1]
    return known[tuple(keys)]


def _layers(network: nn.Module) -> dict[str, Layer]:
    """Plain layers and products of them, by name."""
    found: dict[str, Layer] = {}
    for name, module in network.named_modules():
        if name.rpartition(".")[0] not in found and _is_layer(module):
            found[name] = module
    return found


def _is_layer(module: nn.Module | None) -> TypeGuard[Layer]:
    if type(module) is nn.Sequential:
        return len(module) > 1 and len({type(m) for m in module}) == 1 and type(module[0]) in PLAIN
    return type(module) in PLAIN


def _counterpart(after: nn.Module, name: str) -> Layer | nn.Identity | None:
    """What stands at a layer's name, or the identity that stands for a unit around it."""
    module: nn.Module | None = after
    for part in name.split("."):
        module = None if module is None else module._modules.get(part)
        if module is None or isinstance(module, nn.Identity):
            return module
    return module if _is_layer(module) else None
