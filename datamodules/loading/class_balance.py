"""Weights of classes from how many images each has."""

from collections.abc import Sequence

from datamodules.errors import DataError
from datamodules.schema import is_number

SCHEMES = ("none", "balanced", "sqrt", "effective_number")


def class_weights(counts: Sequence[int], scheme: str, beta: float = 0.999) -> list[float]:
    """One weight a class, whose mean over the images (not the classes) is 1.

    Args:
        counts: images of each class. A class without any gets the weight 0.
        scheme: `none` weighs all images alike, `balanced` by 1 / n, `sqrt` by 1 / sqrt(n),
            `effective_number` by (1 - beta) / (1 - beta^n) (Cui et al. 2019, section 3).
        beta: of the effective number; 0 is `none`, towards 1 it becomes `balanced`.

    Raises:
        DataError: there is no such scheme, or beta lies outside 0..1.
    """
    if scheme not in SCHEMES:
        raise DataError(
            f"The class weights {scheme!r} do not exist: there are {', '.join(SCHEMES)}."
        )
    if not is_number(beta) or not 0 <= beta < 1:
        raise DataError(f"beta={beta} of the effective number must be at least 0 and below 1.")
    weigh = {
        "none": lambda n: 1.0,
        "balanced": lambda n: 1 / n,
        "sqrt": lambda n: n**-0.5,
        "effective_number": lambda n: (1 - beta) / (1 - beta**n),
    }[scheme]
    raw = [weigh(n) if n else 0.0 for n in counts]
    total = sum(n * w for n, w in zip(counts, raw, strict=True))
    return [w * sum(counts) / total if total else w for w in raw]
