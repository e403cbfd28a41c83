"""Why a layer's time did not follow its MACs, and what to do about it: one sentence."""

from collections.abc import Sequence
from math import prod

from torch import nn

from compression.cost.geometry import Layer, factors_of, output_shape

FOLLOWS = 0.6  # a layer whose time fell by this ratio of what its MACs fell by needs no advice
LAUNCH = 3.0  # times the least that any layer takes: below it time hardly depends on MACs
MULTIPLE = 8  # channels that a processor computes side by side


def advise(
    layer: Layer,
    left: Layer,
    *,
    shapes: tuple[Sequence[int], Sequence[int]],
    macs: tuple[int, int],
    ms: tuple[float, float],
    floor: float,
) -> str | None:
    """The reason and the remedy; None where its time followed, or no known reason holds.

    Args:
        layer: before the step.
        left: what the step made of it, one layer or a product.
        shapes: of one of its inputs, 1 x C x H x W, before and after the step.
        macs: before and after.
        ms: milliseconds before and after.
        floor: milliseconds that a layer takes however little it does.
    """
    fewer, faster = 1 - macs[1] / max(macs[0], 1), 1 - ms[1] / ms[0]
    if fewer <= 0 or faster >= FOLLOWS * fewer:
        return None
    moved = [elements_moved(one, shape) for one, shape in zip((layer, left), shapes, strict=True)]
    if isinstance(left, nn.Sequential) and moved[1] > moved[0]:
        return (
            f"the product moves {moved[1] / moved[0]:.1f} x the memory of the layer; leave it out "
            f"(exclude, or prefer=latency), or choose lower ranks"
        )
    odd = sorted(width for width in _new_widths(layer, left) if width % MULTIPLE)
    if odd:
        listed = ", ".join(map(str, odd))
        return f"channels ({listed}) are no multiple of {MULTIPLE}; choose a larger round_to"
    if ms[1] < LAUNCH * floor:
        return (
            "launch-bound: so small that its time hardly depends on its MACs; remove whole units "
            "(prune_layers) instead"
        )
    if any(getattr(part, "groups", 1) > 1 for part in factors_of(left)):
        return (
            "grouped or depthwise: onnxruntime spends its time on the feature map, not on MACs; a "
            "smaller image or fewer such units make it faster"
        )
    return None


def elements_moved(layer: Layer, shape: Sequence[int]) -> int:
    """Numbers read and written: input, weights and output of each part of a layer or product."""
    moved = 0
    for part in factors_of(layer):
        after = output_shape(part, shape)
        moved += prod(shape) + part.weight.numel() + prod(after)
        shape = after
    return moved


def _new_widths(layer: Layer, left: Layer) -> set[int]:
    """Numbers of channels that the step chose."""
    return _widths(left) - _widths(layer)


def _widths(layer: Layer) -> set[int]:
    """Channels into and out of each part."""
    widths: set[int] = set()
    for part in factors_of(layer):
        if isinstance(part, nn.Linear):
            widths |= {part.in_features, part.out_features}
        else:
            widths |= {part.in_channels, part.out_channels}
    return widths
