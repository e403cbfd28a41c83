"""What a parameter is drawn from, read from an expression such as `tag(log, interval(1,20))`."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Transformer

from lightning_modules.errors import ConfigError

if TYPE_CHECKING:  # Optuna: only for a search
    from optuna.trial import BaseTrial


@dataclass(frozen=True)
class Choices:
    """One of several values."""

    choices: tuple[Any, ...]

    @property
    def first(self) -> Any:
        """A value that can be drawn; where `single`, the only one."""
        return self.choices[0]

    @property
    def single(self) -> bool:
        """Whether there is nothing to choose."""
        return len(self.choices) == 1

    def draw(self, trial: "BaseTrial", name: str) -> Any:
        """A value that the trial's study chooses."""
        return trial.suggest_categorical(name, self.choices)

    def values(self) -> list[Any] | None:
        """All of them."""
        return list(self.choices)


@dataclass(frozen=True)
class Numbers:
    """A number of a range with both ends, whole where these and the step are."""

    low: float
    high: float
    step: float | None = None
    log: bool = False

    @property
    def first(self) -> float:
        """The lowest one."""
        return self.low

    @property
    def single(self) -> bool:
        """Whether there is but one."""
        return self.high == self.low or bool(self.step and self.high - self.low < self.step)

    def draw(self, trial: "BaseTrial", name: str) -> Any:
        """A number that the trial's study chooses."""
        whole = all(isinstance(number, int) for number in (self.low, self.high, self.step or 1))
        suggest: Any = trial.suggest_int if whole else trial.suggest_float
        step = self.step or (1 if whole else None)
        return suggest(name, self.low, self.high, step=step, log=self.log)

    def values(self) -> list[float] | None:
        """All of them, None where they are without end."""
        if self.step is None:
            return None
        count = int((self.high - self.low) / self.step + 1e-9)  # of what rounding left
        return [self.low + n * self.step for n in range(count + 1)]


Distribution = Choices | Numbers


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
        found: Distribution
        if override.is_interval_sweep():
            log, whole = "log" in value.tags, isinstance(value.start + value.end, int)
            found = Numbers(value.start, value.end, 1 if whole and not log else None, log)
        elif override.is_range_sweep() and not value.shuffle:
            found = Numbers(value.start, value.stop, value.step)
        else:
            found = Choices(tuple(override.sweep_iterator(transformer=Transformer.encode)))
        found.draw(FixedTrial({key: found.first}), key)
    except Exception as error:  # whatever the grammar or Optuna say
        reason = " ".join(str(error).split()).rstrip(".")
        raise ConfigError(
            f"The search space has {key}: {expression}, which cannot be read: {reason}; write "
            "choice(..), interval(a,b), range(a,b) or tag(log, interval(a,b))."
        ) from None
    return found
