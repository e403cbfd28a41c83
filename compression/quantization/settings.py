"""The settings of quantisation, checked without torch: a mistake is found before training."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from compression.errors import CompressionError
from compression.schema import is_number, require, require_choice, require_count

METHODS = ("percentile", "minmax")
MIN_IMAGES = 16  # images to calibrate on
SENSITIVE = "sensitive"  # among the patterns of `exclude`: what a scan finds


def check_settings(place: str, settings: Mapping[str, Any]) -> None:
    """Refuse what no network could be quantised with.

    Args:
        place: the key they stand under.
        settings: of `Quantize` or `QuantizeAware`; what is missing has its default, what is more
            is passed over.

    Raises:
        CompressionError: says which setting, its value and what is allowed.
    """
    for key, value in settings.items():
        name = f"{place}.{key}"
        if key == "method":
            require_choice(name, value, METHODS)
        elif key == "percentile":
            fits = is_number(value) and 50 <= value <= 100
            require(fits, name, value, "a percentage in 50..100")
        elif key == "images":
            require_count(name, value, minimum=MIN_IMAGES)
        elif key == "max_f1_drop" and value is not None:
            require(is_number(value) and 0 <= value <= 1, name, value, "a ratio in 0..1 or null")
        elif key == "averaging":
            require(is_number(value) and 0 <= value <= 1, name, value, "a ratio in 0..1")
        elif key == "reduce_range":
            require(isinstance(value, bool), name, value, "true or false")
        elif key == "exclude":
            names = [value] if isinstance(value, str) else value
            fits = isinstance(names, list | tuple) and all(isinstance(n, str) for n in names)
            require(fits, name, value, "`sensitive`, or a list of name patterns")
    exclude = settings.get("exclude") or ()
    if SENSITIVE in exclude and settings.get("max_f1_drop", 0) is None:
        raise CompressionError(
            f"{place}.exclude=sensitive keeps layers floating until the loss is within "
            f"max_f1_drop, which is null; give {place}.max_f1_drop=0.01."
        )


def require_torchao() -> None:
    """Refuse training aware of quantisation where torchao is not installed.

    Raises:
        CompressionError: says how to install it.
    """
    if find_spec("torchao") is None:
        raise CompressionError(
            "quantize_aware needs torchao; install it with: pip install '.[qat]'"
        )
