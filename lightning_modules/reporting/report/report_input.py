"""What a report is about: the words on the command line, as runs and searches."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lightning_modules.errors import ConfigError
from lightning_modules.reporting.report.finished_run import FinishedRun, name_of, read_run
from lightning_modules.reporting.report.study_report import StudyReport
from lightning_modules.runs import (
    REPETITION,
    Record,
    Summary,
    find_folder,
    find_records,
    read_record,
    search_folder,
    summarize,
)


@dataclass(frozen=True)
class ReportInput:
    """All that one report tells of.

    Attributes:
        run: the one whose every detail is shown; None where a search has no finished trial here.
        chosen: why this run, in words; empty where it was named.
        summary: the runs by configuration; those of searches have tables of their own.
        records: all with metrics.
        searches: in the order named.
        home: the directory of the first word, where the page belongs.
    """

    run: FinishedRun | None
    chosen: str
    summary: Summary
    records: list[Record]
    home: Path
    searches: list[StudyReport] = field(default_factory=list)

    @property
    def title(self) -> str:
        """Of the page: the study's name where one of its runs was chosen, else the run's."""
        return self.run.name if self.run and not self.chosen else self.home.name


def read_input(
    words: Sequence[str],
    *,
    over: Sequence[str] = (),
    read_study: Callable[[Path], StudyReport] | None = None,
) -> ReportInput:
    """Reads the runs and studies that were named.

    Args:
        words: run directories, `last`, studies by directory or name; at least one.
        over: keys, besides seed and fold, in which runs of one configuration may differ.
        read_study: `search.study_report`, which reads the study in a directory; without it only
            runs may be named.

    Raises:
        ConfigError: a word means nothing, none of the runs has metrics, or one is damaged.
    """
    folders = {word: search_folder(word) for word in words}
    found = {word: find_records([word]) for word in words}
    searches = _studies([folder for folder in folders.values() if folder], read_study)
    everything = _once(found.values())
    records = [record for record in everything if record.failure is None]
    if not records and not searches:
        raise ConfigError(_why_nothing(everything))
    others = _once(found[word] for word in words if folders[word] is None)
    summary = summarize(others, over=(*REPETITION, *over))
    if folders[words[0]] is None:
        first, chosen = _first(found[words[0]], records, over)
    else:
        first, chosen = _winner(searches[0])
    home = folders[words[0]] or find_folder(words[0])
    return ReportInput(read_run(first) if first else None, chosen, summary, records, home, searches)


def _once(groups: Iterable[list[Record]]) -> list[Record]:
    """Each run once."""
    return list({record.folder: record for group in groups for record in group}.values())


def _studies(
    folders: Sequence[Path], read_study: Callable[[Path], StudyReport] | None
) -> list[StudyReport]:
    if folders and read_study is None:
        raise ConfigError(f"{folders[0]} is a search; it is read by search.study_report.")
    return [read_study(folder) for folder in folders] if read_study else []


def _winner(search: StudyReport) -> tuple[Record | None, str]:
    """The run of a search's best trial, and why it is shown in full."""
    if search.winner is None:
        return None, ""
    name = name_of(search.winner)
    return read_record(search.winner, name), f"{name}, the best of {search.name}"


def _first(
    named: list[Record], records: list[Record], over: Sequence[str]
) -> tuple[Record | None, str]:
    """The run to show in full of those named first, else of all, and why it was chosen."""
    own = [record for record in named if record.failure is None]
    if not own:
        first = records[0] if records else None
        return first, f"{name_of(first.folder)}, the first one that has metrics" if first else ""
    if len(own) == 1:
        return own[0], ""
    best = summarize(own, over=(*REPETITION, *over))
    run = best.rows[0].records[0]
    what = f"of the best configuration by {best.objective} in {len(own)} runs"
    return run, f"{name_of(run.folder)}, {what}"


def _why_nothing(records: list[Record]) -> str:
    if len(records) == 1:
        return f"{records[0].name}: {records[0].failure}"
    return "None of these runs has metrics; the reasons stand above."
