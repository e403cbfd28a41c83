"""Ranks that a person gives, layer by layer: read without torch, and the rule that follows them."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from compression.errors import CompressionError
from compression.factorization.rank_rule import RANK_RULES, TARGET, Rule, rank_in_round
from compression.files import MOST_NODES, count_nodes
from compression.schema import nearest

if TYPE_CHECKING:  # it loads torch
    from compression.factorization.candidate import Candidate


class FixedRanks(Rule):
    """Ranks by layer name or pattern; of several patterns that match, the last one counts.

    Args:
        ranks: pattern -> a rank, or one for each mode such as [out, in]; 0 leaves the layer alone.
        step: name of the step, for errors.
    """

    nothing = "given no rank"
    named = True
    by_size = True

    def __init__(self, ranks: Mapping[str, int | Sequence[int]], step: str) -> None:
        self.ranks, self.step = dict(ranks), step

    def check(self, candidates: "Sequence[Candidate]") -> None:
        """Refuse a pattern that matches no layer, and ranks that do not fit the layer.

        Raises:
            CompressionError: names the pattern or the layer.
        """
        from compression.step import match_layers  # it loads torch

        match_layers([candidate.name for candidate in candidates], self.ranks, [])
        for candidate in candidates:
            self._asked(candidate)

    def rank(self, candidate: "Candidate", number: int, rounds: int) -> list[int]:
        """The ranks given, or a round's part of the way there; zeros where 0 was given, or none.

        Raises:
            CompressionError: the ranks are too many or too few, or larger than the layer's own.
        """
        asked = self._asked(candidate)
        if not all(asked):
            return [0] * len(asked)
        pairs = zip(asked, candidate.max_rank, strict=True)
        return [rank_in_round(final, full, number, rounds) for final, full in pairs]

    def why(self) -> str:
        """Always `the ranks given`: the user knows them."""
        return "the ranks given"

    def _asked(self, candidate: "Candidate") -> list[int]:
        matching = [p for p in self.ranks if fnmatchcase(candidate.name, p)]
        asked = self.ranks[matching[-1]] if matching else 0
        full = candidate.max_rank
        ranks = [asked] * len(full) if isinstance(asked, int) else list(asked)
        if len(ranks) != len(full):
            raise CompressionError(
                f"{self.step}.ranks gives {candidate.name} the ranks {ranks}, but a {self.step} "
                f"product has {len(full)}."
            )
        if any(rank > limit for rank, limit in zip(ranks, full, strict=True)):
            limit = full[0] if len(full) == 1 else full
            raise CompressionError(
                f"{self.step}.ranks gives {candidate.name} the rank {asked}, which is larger than "
                f"the layer's own, {limit}."
            )
        return ranks


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


def _read(path: str, place: str) -> Any:
    if not Path(path).is_file():
        rules = [*RANK_RULES.paths, TARGET]
        raise CompressionError(
            f"{place} is neither a rule ({', '.join(rules)}) nor a file with ranks"
            f"{nearest(path, rules)}; a rule of your own is named by {{_target_: ...}}."
        )
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        if count_nodes(content) > MOST_NODES:
            raise ValueError(f"its aliases come to more than {MOST_NODES:,} values")
        return content
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise CompressionError(f"{place} cannot be read as YAML: {reason}.") from error


def _flat(ranks: Mapping[Any, Any], parents: tuple[str, ...] = ()) -> list[tuple[str, Any]]:
    pairs = []
    for key, value in ranks.items():
        names = (*parents, str(key))
        pairs += _flat(value, names) if isinstance(value, Mapping) else [(".".join(names), value)]
    return pairs
