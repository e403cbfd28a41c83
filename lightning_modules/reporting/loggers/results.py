"""What a finished run has to show."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from lightning_modules.evaluation import is_class_metric


@dataclass(frozen=True)
class RunResults:
    """What a run leaves, as far as a logger may want it.

    Attributes:
        metrics: of `metrics.json`.
        pictures: PNG files.
        model: the saved network's folder.
        facts: what is said of the run besides, by name.
        step: the optimizer's steps in all stages of the run.
    """

    metrics: dict[str, Any]
    pictures: Sequence[Path]
    model: Path
    facts: dict[str, Any] = field(default_factory=dict)
    step: int = 0

    @property
    def scalars(self) -> dict[str, float]:
        """The final metrics of the network, such as `val/f1`; not those of each class."""
        named = {**self.metrics, **self.facts}
        return {
            name: float(value)
            for name, value in named.items()
            if "/" in name and isinstance(value, int | float) and not is_class_metric(name)
        }


@runtime_checkable
class LogsResults(Protocol):
    """A logger that takes more than metrics: pictures, tables, the network."""

    def log_results(self, results: RunResults) -> None:
        """Logs what a finished run has to show; without this method, its scalars are logged."""
