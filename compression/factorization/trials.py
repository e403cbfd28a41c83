"""Each layer factorised alone: the points of a sensitivity scan."""

from collections.abc import Callable, Sequence
from functools import partial

from compression.factorization.candidate import Candidate
from compression.factorization.decision import decide, rank_of
from compression.factorization.ranks.ratio import Ratio
from compression.step import Plan, Trial


def trials_of(
    candidates: Sequence[Candidate],
    shares: Sequence[float],
    running: Callable[[Plan], Plan | None],
) -> list[Trial]:
    """One for each layer and each share of its full rank at which it gets cheaper.

    Args:
        candidates: the layers that can be factorised.
        shares: of the full rank.
        running: gives a plan back if the network runs with it.
    """
    found = []
    for candidate in candidates:
        for share in shares:
            plan = decide([candidate], Ratio(share), None)
            if candidate.name in plan["layers"]:
                what = rank_of(plan["layers"][candidate.name])
                asked = {"layer": candidate.name, "share": share, "kept": share}
                found.append(Trial(**asked, what=what, plan=partial(running, plan)))
    return found
