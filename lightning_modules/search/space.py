"""What a search varies: the sweep's parameters, less what the command line fixes."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from lightning_modules.config import swept_values
from lightning_modules.errors import ConfigError
from lightning_modules.runs import quote
from lightning_modules.schema import nearest

if TYPE_CHECKING:  # Optuna: only for a search
    from optuna.trial import BaseTrial


@dataclass(frozen=True)
class Space:
    """The effective search space.

    Attributes:
        params: override key -> expression, such as `choice(32,64)`; a key may begin with `+`.
        fixed: all other overrides of the command line, as typed.
        dropped: parameters of the sweep file that an option chosen on the command line lacks.
    """

    params: dict[str, str]
    fixed: list[str]
    dropped: list[str]


@dataclass(frozen=True)
class Distribution:
    """What a parameter is drawn from.

    Attributes:
        kind: `categorical`, `int` or `float`.
        arguments: of a trial's `suggest_<kind>`.
        values: all that can be drawn; None where they are without end.
    """

    kind: str
    arguments: dict[str, Any]
    values: list[Any] | None

    def draw(self, trial: "BaseTrial", name: str) -> Any:
        """A value that the trial's study chooses.

        Raises:
            ConfigError: the study has drawn it from something else.
        """
        try:
            return getattr(trial, f"suggest_{self.kind}")(name, **self.arguments)
        except ValueError as error:
            reason = " ".join(str(error).split()).rstrip(".")
            raise ConfigError(
                f"The study cannot draw {name} as it did before ({reason}): an earlier version "
                "took some quoted texts for numbers; begin the search anew with "
                "hydra.sweeper.study_name=NAME."
            ) from None


def search_space(root: DictConfig) -> Space:
    """The space of a composed multirun; a key on the command line leaves the sweep's parameters.

    Raises:
        ConfigError: a parameter of the sweep file is no key of the configuration.
    """
    given = [(one, str(one.input_line)) for one in _overrides(root)]
    taken, params, dropped = taken_keys(root), {}, []
    for key, expression in (root.hydra.sweeper.params or {}).items():
        if expression is None or is_taken(bare(key), taken):
            continue
        if key.startswith("+") or has_key(root, key):
            params[key] = str(expression)
        elif key.split(".")[0] in taken:
            dropped.append(key)
        else:
            part, names = _missing_part(root, key) or (key, [])
            hint = nearest(part, names) or f": there is no {part} in it"
            raise ConfigError(
                f"The search space has {key}, which is not a key of the configuration{hint}."
            )
    for one, line in given:
        if one.is_sweep_override():
            params[one.get_key_element()] = line.split("=", 1)[1]
    return Space(params, [line for one, line in given if not one.is_sweep_override()], dropped)


def taken_keys(root: DictConfig) -> set[str]:
    """The keys that the command line gives, with one value or with several."""
    return {bare(override.get_key_element()) for override in _overrides(root)}


def is_taken(key: str, taken: set[str]) -> bool:
    """Whether the command line gives a key, or a node above it; a group's option is no node."""
    parts = key.split(".")
    return bool(taken & {key, *(".".join(parts[:count]) for count in range(2, len(parts)))})


def distributions(space: Space) -> tuple[dict[str, Distribution], list[str]]:
    """What each parameter is drawn from, and the overrides of those with one value only.

    Raises:
        ConfigError: an expression cannot be read.
    """
    read = {key: parse(key, expression) for key, expression in space.params.items()}
    varied = {key: one for key, one in read.items() if not isinstance(one, str)}
    return varied, [f"{key}={one}" for key, one in read.items() if isinstance(one, str)]


def parse(key: str, expression: str) -> Distribution | str:
    """What an expression of Hydra's grammar means; a text where it is one value only.

    `range(a,b)` includes b, as it does in Hydra's own plugin for Optuna.

    Raises:
        ConfigError: it cannot be read, or nothing can be drawn from it.
    """
    from optuna.trial import FixedTrial

    try:
        override = OverridesParser.create().parse_override(f"{key}={expression}")
        if not override.is_sweep_override():
            return str(override.get_value_element_as_str())
        value: Any = override.value()
        if override.is_interval_sweep():
            found = _numbers(value.start, value.end, None, "log" in value.tags)
        elif override.is_range_sweep() and not value.shuffle:
            found = _numbers(value.start, value.stop, value.step, False)
        else:
            values = swept_values(override)
            found = Distribution("categorical", {"choices": values}, values)
        first = found.arguments["low"] if "low" in found.arguments else values[0]
        found.draw(FixedTrial({key: first}), key)
    except Exception as error:  # whatever the grammar or Optuna say
        reason = " ".join(str(error).split()).rstrip(".")
        raise ConfigError(
            f"The search space has {key}: {expression}, which cannot be read: {reason}; write "
            "choice(..), interval(a,b), range(a,b) or tag(log, interval(a,b))."
        ) from None
    return found


def _numbers(low: float, high: float, step: float | None, log: bool) -> Distribution:
    """Of a range with both ends, whole where these and the step are."""
    whole = all(isinstance(number, int) for number in (low, high, step or 1))
    step = step or (1 if whole else None)
    values = [low] if low == high else None
    if step and not log:
        count = int((high - low) / step + 1e-9)  # of what rounding left
        values = [low + number * step for number in range(count + 1)]
    arguments = {"low": low, "high": high, "step": step, "log": log}
    return Distribution("int" if whole else "float", arguments, values)


def as_override(name: str, value: Any) -> str:
    """A drawn value as Hydra's grammar takes it; texts are drawn as that has them."""
    return f"{name}={value if isinstance(value, str) else quote(value)}"


def bare(key: str) -> str:
    """An override's key without what Hydra adds: `+a.b` -> `a.b`."""
    return key.lstrip("+~").split("@", 1)[0]


def has_key(root: DictConfig, key: str) -> bool:
    """Whether `key` is a configuration group or a key of the composed configuration."""
    return key in root.hydra.runtime.choices or _missing_part(root, key) is None


def _overrides(root: DictConfig) -> list[Override]:
    return OverridesParser.create().parse_overrides(list(root.hydra.overrides.task))


def _missing_part(root: DictConfig, key: str) -> tuple[str, list[str]] | None:
    """The first part of a dotted key that is not there, and what is there instead."""
    node: Any = root
    for part in key.split("."):
        names = [str(name) for name in node] if OmegaConf.is_dict(node) else []
        if part not in names:
            return part, names
        node = OmegaConf.select(node, part)
    return None
