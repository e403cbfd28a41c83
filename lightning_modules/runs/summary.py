"""Runs grouped by configuration, with the mean and spread of their metrics, best first."""

import contextlib
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lightning_modules.runs.configurations import (
    NAMED,
    NEUTRAL,
    REPETITION,
    Settings,
    as_text,
    differing,
    identity,
    place_of,
    settings_of,
)
from lightning_modules.runs.overrides import select
from lightning_modules.runs.run_records import Record

# What a person looks at first; whatever else `metrics.json` measured comes after these.
METRICS = (
    "val/f1",
    "val/accuracy",
    "test/f1",
    "cost/macs",
    "cost/params",
    "cost/latency_ms",
    "score/macs",
    "score/time",
)


@dataclass(frozen=True)
class Spread:
    """One metric over `n` runs.

    Attributes:
        n: number of values.
        mean: their mean.
        sd: sample standard deviation (divided by n - 1); None for a single value.
        se: standard error of the mean, sd / sqrt(n), over all runs jointly. It takes the runs as
            independent; folds share training images, so over folds it is too small, and no
            unbiased estimate exists (Bengio and Grandvalet 2004, JMLR 5).
        minimum, maximum: the smallest and the largest value.
    """

    n: int
    mean: float
    sd: float | None
    se: float | None
    minimum: float
    maximum: float


def spread(values: Sequence[float]) -> Spread:
    """Mean and spread of at least one value, computed exactly and rounded once."""
    n = len(values)
    sd = statistics.stdev(values) if n > 1 else None
    se = None if sd is None else sd / n**0.5
    return Spread(n, statistics.mean(values), sd, se, min(values), max(values))


def lower_is_better(metric: str) -> bool:
    """True of costs, scores, losses and calibration errors; false of F1 and accuracy."""
    return metric.startswith(("cost/", "score/")) or metric.endswith(
        ("/loss", "/calibration_error")
    )


@dataclass(frozen=True)
class Row:
    """One configuration.

    Attributes:
        settings: what defines it, by dotted key, and the option of each group by the group's name.
        records: its usable runs, one for each repetition.
        failed: its runs without metrics.
        repetitions: how many seeds and folds were tried, with success or without.
    """

    settings: Settings
    records: tuple[Record, ...]
    failed: tuple[Record, ...]
    repetitions: int

    def spread(self, metric: str) -> Spread | None:
        """Over the runs that measured this metric; None where none did."""
        values = [run.metrics[metric] for run in self.records if metric in run.metrics]
        return spread(values) if values else None

    @property
    def seeds(self) -> int:
        """How many seeds."""
        return self._distinct("seed")

    @property
    def folds(self) -> int:
        """How many cross-validation folds; 0 where the data was not divided so."""
        return self._distinct("data.fold")

    def _distinct(self, key: str) -> int:
        found = [select(run.config or {}, key) for run in self.records]
        return len({as_text(value) for value in found if value is not None})


@dataclass(frozen=True)
class Summary:
    """All configurations, best first.

    Attributes:
        objective: the metric that orders the rows.
        keys: settings in which the rows differ.
        metrics: what was measured, in order.
        rows: one for each configuration; those without metrics come last.
        strays: runs whose configuration cannot be read.
        failures: one line for each run without metrics.
        remarks: one line for each run that was left out because a newer one repeats it.
    """

    objective: str
    keys: list[str]
    metrics: list[str]
    rows: list[Row]
    strays: tuple[Record, ...]
    failures: list[str]
    remarks: list[str]

    @property
    def repeats(self) -> bool:
        """Whether any configuration was tried with more than one seed or fold."""
        return any(row.repetitions > 1 for row in self.rows)


def summarize(
    records: Iterable[Record], *, objective: str | None = None, over: Sequence[str] = REPETITION
) -> Summary:
    """Groups runs by configuration; in which order they come does not matter.

    Args:
        records: runs and trials, finished or not.
        objective: the metric that orders the rows; by default the first run's own first objective.
        over: keys in which runs of one configuration may differ.
    """
    records = sorted(records, key=lambda run: (-run.finished, len(run.name), run.name))
    groups: dict[str, list[Record]] = {}
    for run in records:
        if run.config is not None:
            settings = settings_of(run.config, over=over)
            groups.setdefault(identity(settings), []).append(run)
    objective = objective or _objective(records)
    rows, remarks = [], []
    for _, group in sorted(groups.items()):
        row, repeated = _row(group, over)
        rows.append(row)
        remarks += repeated
    rows.sort(key=lambda row: _rank(row.spread(objective), objective))
    return Summary(
        objective=objective,
        keys=differing([row.settings for row in rows]),
        metrics=_measured(rows),
        rows=rows,
        strays=tuple(run for run in records if run.config is None),
        failures=[_failure(run, over) for run in records if run.failure is not None],
        remarks=remarks,
    )


def _row(group: list[Record], over: Sequence[str]) -> tuple[Row, list[str]]:
    """The row of one configuration's runs (newest first), and which of them do not count."""
    newest: dict[tuple[str, ...], Record] = {}
    remarks = []
    for run in (run for run in group if run.failure is None):
        place = place_of(run.config or {}, over=over)
        if newest.setdefault(place, run) is not run:
            remarks.append(
                f"{run.name} is left out: {newest[place].name} is newer and repeats it with "
                f"{', '.join(place) or 'nothing changed'}."
            )
    failed = tuple(run for run in group if run.failure is not None)
    places = {place_of(run.config or {}, over=over) for run in group}
    settings = _with_options(group[0], over)
    return Row(settings, tuple(newest.values()), failed, len(places)), remarks


def _with_options(run: Record, over: Sequence[str]) -> Settings:
    """A run's settings, and under the name of each configuration group its option."""
    elsewhere = {*NAMED, *NEUTRAL}  # shown by other means, or not at all
    config = run.config or {}
    groups = [group for group in config if group in run.choices and group not in elsewhere]
    options = {group: run.choices[group] for group in groups}
    return {**options, **settings_of(config, over=over), **options}  # options come first


def _measured(rows: list[Row]) -> list[str]:
    found = dict.fromkeys(key for row in rows for run in row.records for key in run.metrics)
    return [*(key for key in METRICS if key in found), *sorted(set(found) - set(METRICS))]


def _rank(found: Spread | None, objective: str) -> tuple[bool, float]:
    if found is None:
        return True, 0.0
    return False, found.mean if lower_is_better(objective) else -found.mean


def _failure(run: Record, over: Sequence[str]) -> str:
    place = ", ".join(place_of(run.config, over=over)) if run.config else ""
    return f"{run.name}{f' ({place})' if place else ''}: {run.failure}"


def _objective(records: list[Record]) -> str:
    """The first objective that a run was asked for; it may be an interpolation."""
    for run in records:
        with contextlib.suppress(OmegaConfBaseException, TypeError):
            found = OmegaConf.create(run.config or {}).objective
            return found if isinstance(found, str) else str(found[0])
    return METRICS[0]
