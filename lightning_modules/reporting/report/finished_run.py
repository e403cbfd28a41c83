"""What a report tells of one run, as it lies on disk; needs no torch."""

import csv
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from lightning_modules.errors import ConfigError
from lightning_modules.runs import Record, StageRecord, read_metrics, saved_run


@dataclass(frozen=True)
class FinishedRun:
    """One run with metrics.

    Attributes:
        folder: the run directory.
        metrics: all of `metrics.json`.
        saved: `model/network.yaml`: the network's classes, input and recipe.
        config: as composed, interpolations as written.
        epochs: the rows of `metrics.csv`, as text; empty where no epoch was trained.
        finished: when the metrics were written, in local time.
    """

    folder: Path
    metrics: dict[str, Any]
    saved: dict[str, Any]
    config: dict[str, Any]
    epochs: list[dict[str, str]]
    finished: datetime

    @property
    def name(self) -> str:
        """As it is shown."""
        return name_of(self.folder)

    @property
    def steps(self) -> list[StageRecord]:
        """The stages' metrics, in order."""
        return self.metrics["steps"]


def name_of(folder: Path) -> str:
    """A run's own name; a trial has only a number."""
    return f"trial {folder.name}" if folder.parent.name == "trials" else folder.name


def read_run(record: Record) -> FinishedRun:
    """All that a report needs of a run whose record has metrics.

    Raises:
        ConfigError: there is no saved network, or a file of the run is damaged.
    """
    metrics = read_metrics(record.folder)
    if not _is_whole(metrics):
        raise ConfigError(
            f"{record.folder / 'metrics.json'} has no steps or no confusion matrix; the run is "
            "damaged, or of an older version: run it again for a report."
        )
    return FinishedRun(
        folder=record.folder,
        metrics=metrics,
        saved=saved_run.description(record.folder),
        config=record.config or {},
        epochs=_epochs(record.folder / "metrics.csv"),
        finished=datetime.fromtimestamp(record.finished),
    )


def _is_whole(metrics: dict[str, Any]) -> bool:
    steps, confusion = metrics.get("steps"), metrics.get("confusion")
    if not isinstance(steps, list) or not steps or not isinstance(confusion, dict):
        return False
    parts = ("name", "before", "after")
    return "classes" in confusion and all(all(part in step for part in parts) for step in steps)


def _epochs(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path} cannot be read ({error}); the run is damaged.") from None
