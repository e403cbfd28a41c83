"""What a report shows of a search: how it stands, its best trials, its pictures."""

from dataclasses import dataclass
from pathlib import Path

from lightning_modules.reporting.pictures.drawing import FOLDER
from lightning_modules.reporting.report.content import Picture, Table

WORDS = {
    "history": "The objective trial by trial, and the best so far.",
    "importance": "How much each parameter matters.",
    "parallel": "The parameters of each trial as a line, coloured by the objective.",
    "front": "Accuracy and cost of all trials; those that no other beats are joined.",
}


@dataclass(frozen=True)
class StudyReport:
    """One search, as the search itself reads it from its study.

    Attributes:
        name: of the study.
        states: how many trials finished, failed, ...
        best: its best trials; None as long as none counts.
        pictures: of its `figures/`.
        winner: the run of its best trial; None where it lies elsewhere or there is none.
    """

    name: str
    states: str
    best: Table | None
    pictures: list[Picture]
    winner: Path | None


def study_pictures(folder: Path) -> list[Picture]:
    """The pictures that lie in a study's folder, by name.

    Raises:
        ConfigError: one is no PNG.
    """
    return [_picture(path) for path in sorted((folder / FOLDER).glob("*.png"))]


def _picture(path: Path) -> Picture:
    kind, _, objective = path.stem.partition("_")
    words = WORDS.get(kind, path.stem)
    return Picture.of_file(path, f"{words} ({objective})" if objective else words)
