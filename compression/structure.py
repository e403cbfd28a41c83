"""What structure alone decides of a chain of steps, so that it is refused before any training."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial

import torch
from torch import Tensor, nn

from compression.bisection import UnreachableTargetError
from compression.context import Context
from compression.cost import network_cost, runnable_copy
from compression.engine import entry_latency
from compression.errors import CompressionError
from compression.images import RAW_PIXELS, ImageKind
from compression.latency import RelativeLatency, random_weight_copy
from compression.schema import height_width
from compression.step import Plan, Step


@dataclass(frozen=True)
class _Outline:
    """A network that a step may meet.

    Attributes:
        network: on the meta device where it can run there.
        with_values: makes it on the processor, with random weights.
    """

    network: nn.Module
    with_values: Callable[[], nn.Module]

    def after(self, step: Step, plan: Plan) -> "_Outline":
        """As a plan leaves it."""
        smaller = step.restructure(copy.deepcopy(self.network), plan)
        valued = partial(_valued, self, step, plan)
        return _Outline(smaller, cache(valued))


def check_structure(
    network: nn.Module,
    steps: Mapping[str, Step],
    image_size: int | Sequence[int],
    *,
    images: ImageKind = RAW_PIXELS,
) -> list[str]:
    """Refuse a chain of steps that cannot be done on a network, whatever training makes of it.

    Step after step is planned on the meta device. Where values decide what a step does, the next
    one is refused only if it fails both on the most that may be done and on nothing.

    Args:
        network: before it is trained; stays as it is.
        steps: by their keys in the configuration, such as `compression.svd`.
        image_size: an int or [height, width] in pixels.
        images: the kind that the network takes.

    Returns:
        A sentence on each step that could not be looked at.

    Raises:
        CompressionError: names the key of the first step that cannot be done.
    """
    if not steps:
        return []
    height, width = height_width(image_size)
    sample = torch.zeros(1, images.channels, height, width, dtype=images.dtype, device="meta")
    outlines = [_Outline(runnable_copy(network, image_size), lambda: network)]
    untold = []
    for key, step in steps.items():
        found: list[_Outline] = []
        refusals: list[CompressionError] = []
        for outline in outlines:
            try:
                found += _looked_at(step, outline, sample)
            except CompressionError as error:
                refusals.append(error)
            except Exception as error:  # whatever code of others raises without values
                reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
                untold.append(f"{key} could not be tried before training: {reason}.")
        if len(refusals) == len(outlines):
            raise _placed(refusals[0], key, after=list(steps)[: list(steps).index(key)])
        if not found:
            break
        outlines = [found[0], found[-1]] if len(found) > 1 else found
    return untold


def _looked_at(step: Step, outline: _Outline, sample: Tensor) -> list[_Outline]:
    """What the network may be after a step, the most treated one first; none: it is not known."""
    entered = outline
    context = _context(step, outline, sample)
    exact = True
    for round in range(step.rounds):
        now = replace(context, with_values=outline.with_values)
        found = step.structural_plan(outline.network, now, round)
        if found is None:
            return []
        exact = exact and found.exact
        outline = outline.after(step, found.plan)
    return [outline] if exact else [outline, entered]


def _context(step: Step, outline: _Outline, sample: Tensor) -> Context:
    network, target = outline.network, getattr(step, "target", None)
    size = (sample.shape[-2], sample.shape[-1])
    costs: dict[str, float] = {}
    if target is not None or step.rounds > 1:
        measures = ("macs", "params", "file_bytes")
        costs = {name: network_cost(network, name, size) for name in measures}
    context = Context(sample=sample, image_size=size, entry_cost=costs)
    if getattr(target, "measure", None) != "latency":
        return context
    latency = RelativeLatency(outline.with_values(), size, context.images)
    costs |= entry_latency(step, latency)
    return replace(context, relative_latency=latency)


def _valued(outline: _Outline, step: Step, plan: Plan) -> nn.Module:
    return random_weight_copy(outline.with_values(), step.restructure, plan)


def _placed(error: CompressionError, key: str, after: Sequence[str]) -> CompressionError:
    names = [earlier.rpartition(".")[2] for earlier in after]
    place = f"{key}, after {' and '.join(names)}" if names else key
    sentence = f"{place}: {error}"
    if isinstance(error, UnreachableTargetError):
        return UnreachableTargetError(sentence, error.minimum, error.maximum)
    return CompressionError(sentence)
