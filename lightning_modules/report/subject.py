"""What a report is about: the words on the command line, as runs and searches."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lightning_modules.configurations import REPETITION
from lightning_modules.errors import ConfigError
from lightning_modules.report.finished_run import FinishedRun, name_of, read_run
from lightning_modules.run_directory import search_folder
from lightning_modules.run_records import Record, find_folder, find_records, read_record
from lightning_modules.summary import Summary, summarise

if TYPE_CHECKING:  # it loads Optuna
    from lightning_modules.report.searched import Searched


@dataclass(frozen=True)
class Subject:
    """All that one report tells of.

    Attributes:
        run: the one whose every detail is shown; None where a search has no finished trial here.
        chosen: why this run, in words; empty where it was named.
        summary: the runs by configuration; those of searches have tables of their own.
        records: all with figures.
        searches: in the order named.
        home: the directory of the first word, where the page belongs.
    """

    run: FinishedRun | None
    chosen: str
    summary: Summary
    records: list[Record]
    home: Path
    searches: "list[Searched]" = field(default_factory=list)

    @property
    def title(self) -> str:
        """Of the page: the study's name where one of its runs was chosen, else the run's."""
        return self.run.name if self.run and not self.chosen else self.home.name


def subject_of(words: Sequence[str], *, over: Sequence[str] = ()) -> Subject:
    """Reads the runs and studies that were named.

    Args:
        words: run directories, `last`, studies by directory or name; at least one.
        over: keys, besides seed and fold, in which runs of one configuration may differ.

    Raises:
        ConfigError: a word means nothing, none of the runs has figures, or one is damaged.
    """
    folders = {word: search_folder(word) for word in words}
    searches = [_search(folder) for folder in folders.values() if folder is not None]
    all_records = find_records(words)
    records = [record for record in all_records if record.failure is None]
    if not records and not searches:
        raise ConfigError(_why_nothing(all_records))
    others = find_records([word for word in words if folders[word] is None])
    summary = summarise(others, over=(*REPETITION, *over))
    first, chosen = _first(words[0], records, searches, over)
    home = folders[words[0]] or find_folder(words[0])
    return Subject(read_run(first) if first else None, chosen, summary, records, home, searches)


def _search(folder: Path) -> "Searched":
    from lightning_modules.report.searched import read_search  # Optuna: only for a search

    return read_search(folder)


def _first(
    word: str, records: list[Record], searches: "list[Searched]", over: Sequence[str]
) -> tuple[Record | None, str]:
    """The run to show in full, and why it was chosen."""
    if search_folder(word) is not None:
        winner = searches[0].winner
        if winner is None:
            return None, ""
        chosen = f"{name_of(winner)}, the best of {searches[0].name}"
        return read_record(winner, name_of(winner)), chosen
    own = [record for record in find_records([word]) if record.failure is None]
    if not own:
        first = records[0] if records else None
        return first, f"{name_of(first.folder)}, the first one that has figures" if first else ""
    if len(own) == 1:
        return own[0], ""
    best = summarise(own, over=(*REPETITION, *over))
    run = best.rows[0].records[0]
    what = f"of the best configuration by {best.objective} in {len(own)} runs"
    return run, f"{name_of(run.folder)}, {what}"


def _why_nothing(records: list[Record]) -> str:
    if len(records) == 1:
        return f"{records[0].name}: {records[0].failure}"
    return "None of these runs has figures; the reasons stand above."
