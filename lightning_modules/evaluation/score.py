"""One number for accuracy and cost together, as the 2021 leaderboard's rules had it; lower wins."""

from math import exp, isfinite

from compression.errors import CompressionError


def macs_score(
    *,
    f1: float,
    macs: float,
    reference_macs: float = 13_863_553,
    reference_f1: float = 0.8342,
    least_f1: float = 0.5,
) -> float:
    """MACs relative to a reference network's, plus a penalty for what F1 lacks to its F1.

    Args:
        f1: macro-F1 in 0..1.
        macs: of one image, in the convention `leaderboard2021`.
        reference_macs: MACs that cost 1.
        reference_f1: above it a better F1 counts half.
        least_f1: below it the penalty is 1, whatever the F1.

    Raises:
        CompressionError: a value outside its range.
    """
    _check(f1, cost=macs, scale=reference_macs)
    if not 0 < reference_f1 <= 1:
        raise CompressionError(f"The reference F1 lies in 0..1, not {reference_f1!r}.")
    lacking = 1 - f1 / reference_f1
    if f1 < least_f1:
        lacking = 1.0
    elif f1 >= reference_f1:
        lacking *= 0.5
    return macs / reference_macs + lacking


def time_score(
    *,
    f1: float,
    seconds: float,
    reference_seconds: float = 43.1655,
    middle_f1: float = 0.7,
    steepness: float = 20.0,
) -> float:
    """Half the time relative to a reference network's, plus a smooth penalty for a low F1.

    Args:
        f1: macro-F1 in 0..1.
        seconds: for the whole test set.
        reference_seconds: time that costs 0.5.
        middle_f1: where the penalty is 0.5.
        steepness: how fast the penalty goes from 1 to 0 around `middle_f1`.

    Raises:
        CompressionError: a value outside its range.
    """
    _check(f1, cost=seconds, scale=reference_seconds)
    return 0.5 * seconds / reference_seconds + 1 / (1 + exp(steepness * (f1 - middle_f1)))


def _check(f1: float, *, cost: float, scale: float) -> None:
    if not 0 <= f1 <= 1:
        raise CompressionError(f"An F1 lies in 0..1, not {f1!r}.")
    if not (cost >= 0 and isfinite(cost)) or not scale > 0:
        raise CompressionError(
            f"A score needs a cost of 0 or more and a reference above 0, not {cost!r} and "
            f"{scale!r}."
        )
