"""The settings of channel pruning, checked without torch: a mistake is found before training."""

from collections.abc import Callable, Mapping
from typing import Any

from compression.errors import CompressionError
from compression.target import Target

IMPORTANCES = ("l1", "l2", "bn_scale", "taylor", "fpgm", "lamp", "random")
PENALTIES = ("bn_scale", "group_norm")
SCOPES = ("global", "uniform")
SENSITIVITY = "sensitivity"  # the one word for `ratios`
OPTIONAL = ("ratio", "ratios", "sparsity")  # settings that may be null


def check_settings(place: str, settings: Mapping[str, Any]) -> None:
    """Refuse what no network could be pruned with.

    Args:
        place: the key they stand under.
        settings: of `Prune`; what is missing has its default, what is more is passed over.

    Raises:
        CompressionError: says which setting, its value and what is allowed.
    """
    given = {k: v for k, v in settings.items() if v is not None or k not in OPTIONAL}
    for key in ("ratio", "least"):
        _require(place, given, key, lambda x: _is_number(x) and 0 < x <= 1, "a share in (0, 1]")
    for key in ("rounds", "round_to"):
        _require(place, given, key, lambda x: type(x) is int and x >= 1, "a number from 1")
    _require(place, given, "strength", lambda x: _is_number(x) and x > 0, "a number above 0")
    choices = {
        "importance": IMPORTANCES,
        "scope": SCOPES,
        "ratios": (SENSITIVITY,),
        "sparsity": PENALTIES,
    }
    for key, names in choices.items():
        _require(place, given, key, names.__contains__, f"one of {', '.join(names)}")
    if "ratio" in given and Target.of(settings.get("target"), f"{place}.target") is not None:
        raise CompressionError(f"{place} takes target ({{macs: 0.5}}) or ratio, not both.")
    if "ratio" in given and "ratios" in given:
        raise CompressionError(
            f"{place}.ratios={given['ratios']} needs a target; ratio={given['ratio']} is the same "
            "share for every group of layers."
        )


def _require(
    place: str, given: Mapping[str, Any], key: str, fits: Callable[[Any], bool], wanted: str
) -> None:
    if key in given and not fits(given[key]):
        raise CompressionError(f"{place}.{key} is {wanted}, not {given[key]!r}.")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
