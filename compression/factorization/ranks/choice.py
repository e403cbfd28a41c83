"""Which rule a step's settings ask for."""

from collections.abc import Mapping
from typing import Any

from compression.factorization.ranks.energy import Energy
from compression.factorization.ranks.given import Given
from compression.factorization.ranks.ratio import Ratio
from compression.factorization.ranks.rule import Rule
from compression.factorization.ranks.sensitivity import Sensitivity
from compression.factorization.ranks.vbmf import VBMF
from compression.factorization.settings import RULES, rank_rule, read_ranks

BY_NAME = dict(zip(RULES, (Ratio, Energy, VBMF, Sensitivity), strict=True))


def rule_of(
    ranks: str | Mapping[str, Any] | Rule | None,
    *,
    solves: bool,
    step: str,
    **strengths: float,
) -> Rule:
    """The rule that settings ask for; they have been checked before.

    Args:
        ranks: see `Factorization`.
        solves: whether a target is to be solved for.
        step: name of the step, for errors.
        strengths: the number for each rule that has one, by its name.
    """
    if isinstance(ranks, Rule):
        return ranks
    name = rank_rule(ranks, solves=solves)
    if name in BY_NAME:
        return BY_NAME[name](strengths[name])
    return Given(read_ranks(ranks, f"{step}.ranks"), step)
