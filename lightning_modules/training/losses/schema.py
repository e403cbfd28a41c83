"""What the numbers of a loss may be; read without torch, so that a mistake costs a second."""

import math
from collections.abc import Mapping
from typing import Any

from datamodules.loading import SCHEMES
from lightning_modules.schema import Limit, require_choice, require_number

AT_LEAST_0: Limit = (lambda x: 0 <= x < math.inf, "a number of at least 0")
ABOVE_0: Limit = (lambda x: 0 < x < math.inf, "a number above 0")
LIMITS: dict[str, Limit] = {
    "label_smoothing": (lambda x: 0 <= x <= 1, "a share in 0..1"),
    "beta": (lambda x: 0 <= x < 1, "a number of at least 0 and below 1"),
    "gamma": AT_LEAST_0,
    "tau": AT_LEAST_0,
    "margin": (lambda x: 0 <= x <= math.pi / 2, "an angle in 0..1.57 (radians)"),
    "scale": ABOVE_0,
    "f1_weight": AT_LEAST_0,
    "focal_weight": AT_LEAST_0,
    "cross_entropy_weight": AT_LEAST_0,
}


def check_limits(settings: Mapping[str, Any], place: str = "loss") -> None:
    """Refuses values that a loss cannot have; keys that are not listed here are passed over.

    Args:
        settings: value by key, of which any may be left out.
        place: the node that they stand in, for the sentence.

    Raises:
        ConfigError: names the key, its value and what it may be.
    """
    for key, limit in LIMITS.items():
        if key in settings:
            require_number(f"{place}.{key}", settings[key], limit)
    require_choice(f"{place}.class_weights", settings.get("class_weights", "none"), SCHEMES)
