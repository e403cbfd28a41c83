"""Weights of classes from how many images each has."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from datamodules.errors import DataError
from datamodules.schema import is_number

# Images of each class, all above 0 -> how much an image of each class counts, in any unit.
ClassSampler = Callable[[Sequence[int]], Sequence[float]]


def natural(counts: Sequence[int]) -> list[float]:
    """All images count alike."""
    return [1.0 for _ in counts]


def balanced(counts: Sequence[int]) -> list[float]:
    """All classes count alike: 1 / n."""
    return [1 / n for n in counts]


def sqrt(counts: Sequence[int]) -> list[float]:
    """Half way from the one to the other: 1 over the root of n."""
    return [n**-0.5 for n in counts]


@dataclass(frozen=True)
class EffectiveNumber:
    """(1 - beta) / (1 - beta^n), by the effective number of images (Cui et al. 2019, section 3).

    Attributes:
        beta: 0 is `natural`, towards 1 it becomes `balanced`.

    Raises:
        DataError: beta lies outside 0..1.
    """

    beta: float = 0.999

    def __post_init__(self) -> None:
        if not is_number(self.beta) or not 0 <= self.beta < 1:
            raise DataError(
                f"beta={self.beta} of the effective number must be at least 0 and below 1."
            )

    def __call__(self, counts: Sequence[int]) -> list[float]:
        """One weight a class."""
        return [(1 - self.beta) / (1 - self.beta**n) for n in counts]


SAMPLERS: Mapping[str, ClassSampler] = {
    "none": natural,
    "natural": natural,
    "balanced": balanced,
    "sqrt": sqrt,
    "effective_number": EffectiveNumber(),
}


def class_weights(
    counts: Sequence[int], sampler: str | ClassSampler, beta: float = 0.999
) -> list[float]:
    """One weight a class, whose mean over the images (not the classes) is 1.

    Args:
        counts: images of each class. A class without any gets the weight 0.
        sampler: one of `SAMPLERS` by name, or a function of one's own from the counts of the
            classes that have images to how much an image of each counts.
        beta: of `effective_number`, where that is named.

    Raises:
        DataError: there is no such sampler, beta lies outside 0..1, or one of one's own gives no
            weights.
    """
    if isinstance(sampler, str):
        if sampler not in SAMPLERS:
            raise DataError(
                f"The class weights {sampler!r} do not exist: there are {', '.join(SAMPLERS)}, or "
                "a function of your own from counts to weights."
            )
        sampler = EffectiveNumber(beta) if sampler == "effective_number" else SAMPLERS[sampler]
    present = [n for n in counts if n]
    given = iter(_weights(sampler, present))
    raw = [next(given) if n else 0.0 for n in counts]
    total = sum(n * w for n, w in zip(counts, raw, strict=True))
    return [w * sum(counts) / total if total else w for w in raw]


def _weights(sampler: ClassSampler, counts: list[int]) -> list[float]:
    """What a sampler gives, as plain numbers."""
    name = getattr(sampler, "__qualname__", type(sampler).__qualname__)
    try:
        weights = [float(weight) for weight in sampler(counts)]
    except Exception as error:  # whatever one's own code raises
        raise DataError(
            f"The class sampler {name} fails on the counts {counts}: {error}."
        ) from error
    fits = all(0 <= weight < math.inf for weight in weights) and (any(weights) or not counts)
    if len(weights) != len(counts) or not fits:
        raise DataError(
            f"The class sampler {name} gives {weights} for the counts {counts}; it must give one "
            "weight of at least 0 a class, not all of them 0."
        )
    return weights
