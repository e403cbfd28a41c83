"""Precision, recall and F1 of each class, all read from the confusion matrix; needs no torch."""

from collections.abc import Sequence
from typing import NamedTuple

Matrix = Sequence[Sequence[int]]  # images by true class (rows) and predicted class (columns)


class ClassRow(NamedTuple):
    """One class.

    Attributes:
        name: of the class.
        precision: share of the images predicted as it that are of it.
        recall: share of its images that are predicted as it.
        f1: 2 * precision * recall / (precision + recall).
        support: number of its images.

    Where a class has images, 0 / 0 is 0; all three are None where it has no images and is never
    predicted, for then nothing is known of it (macro-F1 is the mean over the other classes).
    """

    name: str
    precision: float | None
    recall: float | None
    f1: float | None
    support: int


MEASURES = ClassRow._fields[1:]


def class_rows(classes: Sequence[str], matrix: Matrix) -> list[ClassRow]:
    """The rows of all classes, in order."""
    rows = []
    for number, name in enumerate(classes):
        right, support = matrix[number][number], sum(matrix[number])
        predicted = sum(row[number] for row in matrix)
        if support + predicted == 0:
            rows.append(ClassRow(name, None, None, None, 0))
            continue
        precision = right / predicted if predicted else 0.0
        recall = right / support if support else 0.0
        rows.append(ClassRow(name, precision, recall, 2 * right / (support + predicted), support))
    return rows


def class_metrics(classes: Sequence[str], matrix: Matrix, *, split: str) -> dict[str, float]:
    """`<split>/<measure>/<class>` of each measure that is known, for `metrics.json`."""
    rows = class_rows(classes, matrix)
    return {
        f"{split}/{measure}/{row.name}": value
        for measure in MEASURES
        for row in rows
        if (value := getattr(row, measure)) is not None
    }


def table_cells(rows: Sequence[ClassRow]) -> list[list[str]]:
    """What a person reads of the rows: class, precision, recall, F1, images."""
    return [
        [row.name, *("" if value is None else f"{value:.3f}" for value in row[1:4]), f"{row[4]:,}"]
        for row in rows
    ]


CLASS_COLUMNS = ("class", "precision", "recall", "F1", "images")


def is_class_metric(key: str) -> bool:
    """Whether a key of `metrics.json` is a metric of one class, such as `val/f1/glass`."""
    parts = key.split("/", 2)
    return len(parts) == 3 and parts[1] in MEASURES
