"""Which rule the setting `ranks` means: a registered name, a rule of one's own, or the ranks."""

from collections.abc import Mapping
from pkgutil import resolve_name
from typing import Any

from compression.errors import CompressionError
from compression.factorization.given_ranks import FixedRanks, read_ranks
from compression.factorization.rank_rule import RANK_RULES, TARGET, Rule


def check_ranks(ranks: Any, key: str, *, solves: bool) -> None:
    """Refuses what no rank can be chosen by, as far as it is known without foreign code.

    Args:
        ranks: see `FactorizationSettings`.
        key: of the setting.
        solves: whether a target is to be solved for.

    Raises:
        CompressionError: one sentence on what is wrong.
    """
    if ranks == TARGET:
        _require_target(ranks, key, solves=solves)
    ranks = _meant(ranks, solves=solves)
    if _is_given(ranks):
        read_ranks(ranks, key)
        _require_number(Rule, key, solves=solves)
    elif isinstance(ranks, str) and ranks in RANK_RULES.paths:
        rule = resolve_name(RANK_RULES.paths[ranks])
        if rule.needs_target:
            _require_target(ranks, key, solves=solves)
        _require_number(rule, key, solves=solves)


def make_rule(ranks: Any, key: str, step: Any, *, solves: bool, best: str = "energy") -> Rule:
    """The rule that `ranks` means.

    Args:
        ranks: see `FactorizationSettings`.
        key: of the setting.
        step: has its settings as attributes, among them the numbers of rules: `Rule.setting`.
        solves: whether a target is to be solved for.
        best: the rule that a target turns where none is named.

    Raises:
        CompressionError: there is no such rule, it is none, or a target cannot turn it.
    """
    ranks = _meant(ranks, solves=solves, best=best)
    if _is_given(ranks):
        rule: Any = FixedRanks(read_ranks(ranks, key), key.rpartition(".")[0])
    elif isinstance(ranks, str):
        rule = _by_name(ranks, key, step)
    else:
        rule = RANK_RULES.part(ranks, key)
    if not isinstance(rule, Rule):
        kind = rule if isinstance(rule, type) else type(rule)
        raise CompressionError(
            f"{key}: {kind.__module__}.{kind.__qualname__} is no rank rule; derive your class from "
            "compression.factorization.Rule."
        )
    _require_number(type(rule), key, solves=solves)
    return rule


def _meant(ranks: Any, *, solves: bool, best: str = "energy") -> Any:
    """The rule that is taken where `ranks` names none; else `ranks` itself."""
    if ranks == TARGET or not ranks:  # an empty mapping gives no rank
        return best if solves else "ratio"
    return ranks


def _is_given(ranks: Any) -> bool:
    """Whether these are the ranks themselves, or the file of them, and no rule."""
    if isinstance(ranks, str):
        return ranks not in RANK_RULES
    if isinstance(ranks, Mapping):
        return "_target_" not in ranks
    return isinstance(ranks, int | float | list | tuple)  # which are refused as ranks


def _by_name(name: str, key: str, step: Any) -> Any:
    kind = RANK_RULES.load(name, key)
    setting = getattr(kind, "setting", None)
    if setting is None or not isinstance(kind, type):
        return RANK_RULES.part(name, key)
    if not hasattr(step, setting):
        raise CompressionError(
            f"{key}={name}: its number is to be the setting {setting}, which this step does not "
            f"have; give it as {{_target_: ...}} with its arguments."
        )
    return kind(getattr(step, setting))


def _require_target(ranks: str, key: str, *, solves: bool) -> None:
    if not solves:
        target = f"{key.removesuffix('ranks')}target.macs=0.5"
        raise CompressionError(f"{key}={ranks} needs a target, as {target}.")


def _require_number(rule: type[Rule], key: str, *, solves: bool) -> None:
    if solves and not rule.has_number() and rule.meet is Rule.meet:
        place = key.rpartition(".")[0]
        raise CompressionError(
            f"{place}.target is met by turning the number of a rule (energy, ratio, sensitivity, "
            f"error), but {key} chooses the ranks in another way; leave one of the two out."
        )
