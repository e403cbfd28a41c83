"""The settings of channel pruning, checked without torch: a mistake is found before training."""

from collections.abc import Mapping
from typing import Any

from compression.errors import CompressionError
from compression.schema import (
    is_number,
    require,
    require_choice,
    require_count,
    require_ratio,
)
from compression.target import Target

IMPORTANCES = ("l1", "l2", "bn_scale", "taylor", "fpgm", "lamp", "random")
PENALTIES = ("bn_scale", "group_norm")
SCOPES = ("global", "uniform")
SENSITIVITY = "sensitivity"  # the one word for `ratios`
CHOICES = {
    "importance": IMPORTANCES,
    "scope": SCOPES,
    "ratios": (SENSITIVITY,),
    "penalty": PENALTIES,
}
OPTIONAL = ("ratio", "ratios", "penalty")  # settings that may be null


def check_settings(place: str, settings: Mapping[str, Any]) -> None:
    """Refuse what no network could be pruned with.

    Args:
        place: the key they stand under.
        settings: of `Prune`; what is missing has its default, what is more is passed over.

    Raises:
        CompressionError: says which setting, its value and what is allowed.
    """
    given = {k: v for k, v in settings.items() if v is not None or k not in OPTIONAL}
    for key, value in given.items():
        name = f"{place}.{key}"
        if key in ("ratio", "min_ratio"):
            require_ratio(name, value)
        elif key in ("rounds", "round_to"):
            require_count(name, value)
        elif key in CHOICES:
            require_choice(name, value, CHOICES[key])
        elif key == "penalty_strength":
            require(is_number(value) and value > 0, name, value, "a number above 0")
    if "ratio" in given and Target.of(settings.get("target"), f"{place}.target") is not None:
        raise CompressionError(f"{place} takes target ({{macs: 0.5}}) or ratio, not both.")
    if "ratio" in given and "ratios" in given:
        raise CompressionError(
            f"{place}.ratios={given['ratios']} needs a target; ratio={given['ratio']} is the same "
            "ratio for every group of layers."
        )
