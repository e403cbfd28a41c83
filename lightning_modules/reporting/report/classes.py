"""What the network takes for what: tables and pictures of each split."""

from dataclasses import dataclass
from typing import Any

from datamodules.contact_sheets import numbered
from lightning_modules.evaluation import CLASS_COLUMNS, ClassRow, class_rows, table_cells
from lightning_modules.reporting.pictures.classification import draw_class_bars, draw_confusion
from lightning_modules.reporting.pictures.drawing import FOLDER
from lightning_modules.reporting.report.content import Picture, Table
from lightning_modules.reporting.report.finished_run import FinishedRun

NAMES = {"val": "validation", "test": "test"}


@dataclass(frozen=True)
class Split:
    """What a page shows of one split; None for a picture that needs the images and is not there.

    Attributes:
        name: `validation` or `test`.
        table: a row for each class.
        bars: F1, precision and recall of each class.
        confusion: the confusion matrix.
        mistakes: which classes are taken for which most often, in words.
        legend: the names behind the numbers in the pictures, where no font can write them.
        reliability: accuracy over confidence.
        worst: the images of highest loss.
    """

    name: str
    table: Table
    bars: Picture
    confusion: Picture
    mistakes: str
    legend: str
    reliability: Picture | None
    worst: Picture | None


def splits(run: FinishedRun) -> list[Split]:
    """Those that the run measured: `val`, and `test` where it is labelled."""
    confusion = run.metrics["confusion"]
    return [_split(run, name, confusion) for name in confusion if name != "classes"]


def _split(run: FinishedRun, split: str, confusion: dict[str, Any]) -> Split:
    classes, matrix = confusion["classes"], confusion[split]
    rows, name = class_rows(classes, matrix), NAMES.get(split, split)
    written, legend = numbered(classes)
    title = f"{run.name}, {split}"
    f1 = run.metrics[f"{split}/f1"]
    mistakes = _mistakes(classes, matrix)
    bars = f"F1, precision and recall by class: {_range(rows)}."
    matrix_words = f"Confusion matrix of the {name} images. {mistakes}"
    return Split(
        name=name,
        table=Table(f"Classes, {name} images", CLASS_COLUMNS, table_cells(rows)),
        bars=_stored(run, f"{split}_classes", bars)
        or Picture.of_figure(
            draw_class_bars(class_rows(written, matrix), macro_f1=f1, title=title), bars
        ),
        confusion=_stored(run, f"{split}_confusion", matrix_words)
        or Picture.of_figure(draw_confusion(written, matrix, title=title), matrix_words),
        mistakes=mistakes,
        legend=legend,
        reliability=_stored(
            run,
            f"{split}_reliability",
            "Reliability diagram: accuracy over confidence, and how many images have which.",
        ),
        worst=_stored(
            run,
            f"{split}_worst",
            f"The {name} images of highest loss, each with its class, the predicted class and its "
            "file; wrong ones have a red frame.",
            photographs=True,
        ),
    )


def _stored(run: FinishedRun, name: str, alt: str, *, photographs: bool = False) -> Picture | None:
    """The run's own picture, where it has one."""
    path = run.folder / FOLDER / f"{name}.png"
    return Picture.of_file(path, alt, photographs=photographs) if path.is_file() else None


def _range(rows: list[ClassRow]) -> str:
    scored = ((row.f1, row.name) for row in rows if row.f1 is not None)
    known = sorted(scored, key=lambda pair: pair[0])
    if not known:
        return "nothing is known"
    (low, worst), (high, best) = known[0], known[-1]
    return f"from {worst} with F1 {low:.3f} to {best} with {high:.3f}"


def _mistakes(classes: list[str], matrix: list[list[int]], shown: int = 3) -> str:
    wrong = [
        (count, classes[true], classes[seen])
        for true, row in enumerate(matrix)
        for seen, count in enumerate(row)
        if count and true != seen
    ]
    wrong.sort(key=lambda one: -one[0])
    listed = ", ".join(f"{true} as {seen} ({count})" for count, true, seen in wrong[:shown])
    return f"Most often mistaken: {listed}." if listed else "Nothing was mistaken."
