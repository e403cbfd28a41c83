"""What a report shows of a search: how it stands, its best trials, its pictures."""

from dataclasses import dataclass
from pathlib import Path

from lightning_modules.reporting.report.content import Picture, Table
from lightning_modules.search.answer import SHOWN, best_cells, states, title_of
from lightning_modules.search.pictures import FOLDER
from lightning_modules.search.progress_line import best_trials
from lightning_modules.search.record import trial_folder
from lightning_modules.search.storage import find_study
from lightning_modules.search.winner import winners

WORDS = {
    "history": "The objective trial by trial, and the best so far.",
    "importance": "How much each parameter matters.",
    "parallel": "The parameters of each trial as a line, coloured by the objective.",
    "front": "Accuracy and cost of all trials; those that no other beats are joined.",
}


@dataclass(frozen=True)
class Searched:
    """One search.

    Attributes:
        name: of the study.
        stand: how many trials finished, failed, ...
        best: its best trials; None as long as none counts.
        pictures: of its `figures/`.
        winner: the run of its best trial; None where it lies elsewhere or there is none.
    """

    name: str
    stand: str
    best: Table | None
    pictures: list[Picture]
    winner: Path | None


def read_search(folder: Path) -> Searched:
    """All that a page shows of the search in a folder.

    Raises:
        ConfigError: it cannot be opened.
    """
    study, _ = find_study(folder)
    names = study.user_attrs["objectives"]
    best = best_trials(study)
    table, winner = None, None
    if best:
        headings, rows = best_cells(best[:SHOWN], names)
        table = Table(title_of(names).capitalize(), headings, rows)
        run = trial_folder(folder, winners(study)[0].number)
        winner = run if (run / "metrics.json").is_file() else None
    return Searched(
        name=study.study_name,
        stand=states(study.get_trials(deepcopy=False)),
        best=table,
        pictures=[_picture(path) for path in sorted((folder / FOLDER).glob("*.png"))],
        winner=winner,
    )


def _picture(path: Path) -> Picture:
    kind, _, objective = path.stem.partition("_")
    words = WORDS.get(kind, path.stem)
    return Picture.of_file(path, f"{words} ({objective})" if objective else words)
