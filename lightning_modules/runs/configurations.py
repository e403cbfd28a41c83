"""Which runs repeat one experiment: composed configurations compared without seed and fold."""

import json
from collections.abc import Sequence
from typing import Any

from lightning_modules.runs.overrides import leaves, select

REPETITION = ("seed", "data.fold")  # in which repetitions of one configuration differ
# Keys that change no metric of a run.
NEUTRAL = (
    "objective",
    "sweep",
    "trial",
    "resume",
    "resume_force",
    "trust",
    "teacher_policy",
    "logger",
    "pictures",
    "report",
    "card",
    "outputs_dir",
    "cache_dir",
    "data.num_workers",
    "data.license",
)
# Nodes whose keys are names that somebody chose: the names, in order, are a setting themselves.
NAMED = ("teacher", "compression", "model.blocks")

Settings = dict[str, Any]


def settings_of(config: dict[str, Any], *, over: Sequence[str] = REPETITION) -> Settings:
    """The values of a composed configuration by dotted key, without those that do not define it.

    Args:
        config: as plain dicts and lists, interpolations as written: `${seed}` stays the same
            whatever the seed.
        over: keys in which runs of one configuration may differ.
    """
    left_out = (*NEUTRAL, *over)
    flat = {".".join(map(str, key)): value for key, value in leaves(config)}
    for key in NAMED:
        node = select(config, key)
        if isinstance(node, dict) or node == []:
            flat[key] = ", ".join(map(str, node)) or "none"
    return {key: value for key, value in flat.items() if not _within(key, left_out)}


def identity(settings: Settings) -> str:
    """Equal for settings that say the same, in whatever order; 1 and 1.0 are the same."""
    return json.dumps(_plain(settings), sort_keys=True, default=str)


def place_of(config: dict[str, Any], *, over: Sequence[str] = REPETITION) -> tuple[str, ...]:
    """Which repetition of its configuration a run is: its values of `over`, as `seed=1`."""
    found = [(key, select(config, key)) for key in over]
    return tuple(f"{key}={as_text(value)}" for key, value in found if value is not None)


def differing(all_settings: Sequence[Settings]) -> list[str]:
    """The keys in which settings differ, but for those that a chosen option explains.

    Where `model` differs, `model.variant` is left out as long as each option of `model` comes with
    one variant only.
    """
    keys = dict.fromkeys(key for settings in all_settings for key in settings)
    varied = [key for key in keys if len({_value(one, key) for one in all_settings}) > 1]
    return [key for key in varied if not _follows_from_option(key, varied, all_settings)]


def _follows_from_option(key: str, varied: list[str], all_settings: Sequence[Settings]) -> bool:
    group = key.split(".")[0]
    if group == key or group not in varied:
        return False
    pairs = {(_value(one, group), _value(one, key)) for one in all_settings}
    return len(pairs) == len({option for option, _ in pairs})


def as_text(value: Any) -> str:
    """A value as a person would type it on the command line."""
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _within(key: str, nodes: tuple[str, ...]) -> bool:
    return any(key == node or key.startswith(f"{node}.") for node in nodes)


def _value(settings: Settings, key: str) -> str | None:
    return identity(settings[key]) if key in settings else None


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
