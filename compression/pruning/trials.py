"""Each group of layers cut alone: the points of a sensitivity scan."""

from collections.abc import Callable, Sequence
from functools import partial

from compression.errors import CompressionError
from compression.pruning.settling import Ground, Settled, settle
from compression.step import Plan, Trial


def trials_of(
    ground: Ground, shares: Sequence[float], importance: str, plan_of: Callable[[Settled], Plan]
) -> list[Trial]:
    """One for each group that can be cut and each share that cuts it.

    Args:
        ground: of the network.
        shares: of a group's channels to keep; the nearest allowed number of them is kept.
        importance: by which the channels are chosen, in a word.
        plan_of: makes a plan of the sizes.
    """
    sizing, found = ground.rehearsal.sizing, []
    for number in ground.free:
        for share in shares:
            steps = {**sizing.whole(), number: sizing.nearest(number, share)}
            name, after, before = sizing.layers(steps)[number]
            if after < before:
                what = f"{after} of {before} channels by {importance}"
                plan = partial(_plan, ground, steps, plan_of)
                kept = after / before
                found.append(Trial(layer=name, share=share, kept=kept, what=what, plan=plan))
    return found


def _plan(ground: Ground, steps: dict[int, int], plan_of: Callable[[Settled], Plan]) -> Plan | None:
    try:
        return plan_of(settle(ground, lambda sizing: (steps, "alone"), attempts=1))
    except CompressionError:
        return None
