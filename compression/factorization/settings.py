"""The settings of a factorisation, checked without torch: a mistake is found before training."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from compression.errors import CompressionError
from compression.schema import require_count, require_ratio
from compression.target import Target

RULES = ("ratio", "energy", "vbmf", "sensitivity")
SOLVABLE = ("ratio", "energy", "sensitivity")  # rules with a number that a target can turn
GROUPS = ("leave", "split")
PREFERENCES = ("macs", "latency")


def check_settings(place: str, settings: Mapping[str, Any]) -> None:
    """Refuse what no network could be factorised with.

    Args:
        place: the key they stand under.
        settings: of `Factorization`; what is missing has its default, what is more is passed over.

    Raises:
        CompressionError: says which setting, its value and what is allowed.
    """
    for key in RULES:
        require_ratio(f"{place}.{key}", settings.get(key, 1))
    require_count(f"{place}.rounds", settings.get("rounds", 1))
    for key, choices in {"groups": GROUPS, "prefer": PREFERENCES}.items():
        value = settings.get(key, choices[0])
        if value not in choices:
            raise CompressionError(f"{place}.{key}={value} does not exist; {' or '.join(choices)}.")
    _check_ranks(place, settings)


def rank_rule(ranks: Any, *, solves: bool) -> str:
    """The name of the rule that `ranks` means, or `given` where it holds the ranks themselves."""
    if not ranks or ranks == "target":  # an empty mapping gives no rank
        return "energy" if solves else "ratio"
    return ranks if isinstance(ranks, str) and ranks in RULES else "given"


def read_ranks(ranks: str | Mapping[Any, Any] | None, place: str) -> dict[str, int | list[int]]:
    """Ranks by layer pattern, from a mapping (nested ones are joined by dots) or a YAML file.

    Raises:
        CompressionError: no such file, or no such mapping.
    """
    if isinstance(ranks, str):
        place = f"{place}={ranks}"
        ranks = _read(ranks, place)
    if not isinstance(ranks, Mapping):
        raise CompressionError(f"{place} must map layers to ranks, as {{layer1.*: [12, 8]}}.")
    found = dict(_flat(ranks))
    for pattern, rank in found.items():
        wanted = rank if isinstance(rank, list) else [rank]
        if not wanted or any(type(r) is not int or r < 0 for r in wanted):
            raise CompressionError(
                f"{place} gives {pattern} the rank {rank!r}; a rank is a whole number (0 leaves "
                f"the layer alone) or a list as [12, 8]."
            )
    return found


def _check_ranks(place: str, settings: Mapping[str, Any]) -> None:
    ranks, target = settings.get("ranks"), Target.of(settings.get("target"), f"{place}.target")
    if ranks == "target" and target is None:
        raise CompressionError(f"{place}.ranks=target needs a target, as {place}.target.macs=0.5.")
    if not isinstance(ranks, str | Mapping | None) or "_target_" in (ranks or {}):
        return  # a rule of the user's own
    rule = rank_rule(ranks, solves=target is not None)
    if rule == "given":
        read_ranks(ranks, f"{place}.ranks")
    if target is not None and rule not in SOLVABLE:
        raise CompressionError(
            f"{place}.target is met by turning the energy or the ratio, but {place}.ranks chooses "
            f"the ranks in another way; leave one of the two out."
        )


def _read(path: str, place: str) -> Any:
    if not Path(path).is_file():
        raise CompressionError(
            f"{place} is neither a rule ({', '.join(RULES)}, target) nor a file with ranks."
        )
    try:
        return yaml.safe_load(Path(path).read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0]
        raise CompressionError(f"{place} cannot be read as YAML: {reason}.") from error


def _flat(ranks: Mapping[Any, Any], parents: tuple[str, ...] = ()) -> list[tuple[str, Any]]:
    pairs = []
    for key, value in ranks.items():
        names = (*parents, str(key))
        pairs += _flat(value, names) if isinstance(value, Mapping) else [(".".join(names), value)]
    return pairs
