"""Settings that change over the epochs, as pure functions of the epoch."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lightning_modules.errors import ConfigError
from lightning_modules.schema import is_number, require_choice

KINDS = ("constant", "linear", "cosine")


@dataclass(frozen=True)
class Schedule:
    """A number for each epoch.

    Attributes:
        kind: `constant` stays at `start`; `linear` and `cosine` (half a period, flat at both ends)
            lead from `start` in the first epoch to `end` in the last.
    """

    kind: str
    start: float
    end: float

    def at(self, epoch: int, epochs: int) -> float:
        """The value in epoch 0..epochs - 1; a single epoch has the first value."""
        if self.kind == "constant" or epochs <= 1:
            return self.start
        passed = min(epoch / (epochs - 1), 1.0)
        if self.kind == "cosine":
            passed = (1 - math.cos(math.pi * passed)) / 2
        return self.start + (self.end - self.start) * passed


def schedule_of(setting: Any, key: str) -> Schedule:
    """The schedule that a setting describes: a number, or {schedule, from, to}.

    Args:
        setting: as configured.
        key: where it stands, for the sentence.

    Raises:
        ConfigError: it is neither.
    """
    if _is_finite(setting):
        return Schedule("constant", setting, setting)
    known = isinstance(setting, Mapping) and set(setting) <= {"schedule", "from", "to"}
    if not known or not all(_is_finite(setting.get(end, 0)) for end in ("from", "to")):
        raise ConfigError(f"{key}={setting} is neither a number nor {{schedule:,from:,to:}}.")
    kind = setting.get("schedule")
    require_choice(f"{key}.schedule", kind, KINDS)
    needed = ("from",) if kind == "constant" else ("from", "to")
    for end in needed:
        if end not in setting:
            raise ConfigError(f"{key}={dict(setting)} lacks `{end}`, its value at that end.")
    return Schedule(kind, setting["from"], setting.get("to", setting["from"]))


def _is_finite(value: Any) -> bool:
    return is_number(value) and math.isfinite(value)
