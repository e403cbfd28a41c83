"""Settings that change over the epochs, as pure functions of the epoch."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from pydantic import PlainValidator

from lightning_modules.schema import is_number, nearest

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


def schedule_of(
    setting: Any, *, fits: Callable[[float], bool] = math.isfinite, wanted: str = "finite"
) -> Schedule:
    """The schedule that a setting describes: a number, or {schedule, from, to}.

    Args:
        setting: as configured, or a schedule.
        fits: what both ends must do.
        wanted: the same in words.

    Raises:
        ValueError: it is neither, or an end does not fit; `{place}` stands for its key.
    """
    schedule = setting if isinstance(setting, Schedule) else _read(setting)
    if not (fits(schedule.start) and fits(schedule.end)):
        raise ValueError(f"{{place}}={setting} is not allowed; it must be {wanted}.")
    return schedule


def _read(setting: Any) -> Schedule:
    if _is_finite(setting):
        return Schedule("constant", setting, setting)
    known = isinstance(setting, Mapping) and set(setting) <= {"schedule", "from", "to"}
    if not known or not all(_is_finite(setting.get(end, 0)) for end in ("from", "to")):
        raise ValueError(f"{{place}}={setting} is neither a number nor {{schedule:,from:,to:}}.")
    kind = setting.get("schedule")
    if kind not in KINDS:
        kinds = f"{nearest(kind, KINDS)}; there are {', '.join(KINDS)}"
        raise ValueError(f"{{place}}.schedule={kind} does not exist{kinds}.")
    for end in ("from",) if kind == "constant" else ("from", "to"):
        if end not in setting:
            raise ValueError(f"{{place}}={dict(setting)} lacks `{end}`, its value at that end.")
    return Schedule(kind, setting["from"], setting.get("to", setting["from"]))


def _is_finite(value: Any) -> bool:
    return is_number(value) and math.isfinite(value)


ScheduleAbove0 = Annotated[
    Schedule, PlainValidator(partial(schedule_of, fits=lambda x: x > 0, wanted="above 0"))
]
ScheduleIn0To1 = Annotated[
    Schedule, PlainValidator(partial(schedule_of, fits=lambda x: 0 <= x <= 1, wanted="in 0..1"))
]
