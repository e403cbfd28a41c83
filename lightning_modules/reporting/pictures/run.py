"""All pictures of a finished run, below its `figures/`."""

from pathlib import Path

from datamodules.loading.image_data import ImageData
from lightning_modules.evaluation.calibration import reliability
from lightning_modules.evaluation.class_report import class_rows
from lightning_modules.evaluation.evaluation import split_figures
from lightning_modules.evaluation.predictions import Answers
from lightning_modules.reporting.pictures.class_bars import draw_class_bars
from lightning_modules.reporting.pictures.confusion import draw_confusion
from lightning_modules.reporting.pictures.drawing import FOLDER, fonts, save
from lightning_modules.reporting.pictures.reliability import draw_reliability
from lightning_modules.reporting.pictures.worst_images import save_worst


def draw_pictures(
    answers: dict[str, Answers], data: ImageData, folder: Path, *, name: str
) -> list[Path]:
    """Draws what a person looks at; returns the files.

    Args:
        answers: of the shipped network, by split.
        data: of the run.
        folder: the run directory.
        name: of the run, for the titles.

    Raises:
        ConfigError, DataError: a picture cannot be written.
    """
    files = []
    with fonts():
        for split, given in answers.items():
            files += _of_split(split, given, data, folder / FOLDER, name)
    return files


def _of_split(split: str, answers: Answers, data: ImageData, folder: Path, name: str) -> list[Path]:
    classes, matrix = data.class_names, answers.confusion
    figures = split_figures(answers, split=split)
    f1 = figures[f"{split}/f1"]
    title = f"{name}, {split}"
    drawn = {
        "confusion": draw_confusion(classes, matrix, title=title),
        "reliability": draw_reliability(reliability(answers), title=title),
        "classes": draw_class_bars(class_rows(classes, matrix), macro_f1=f1, title=title),
    }
    files = [save(figure, folder / f"{split}_{kind}.png") for kind, figure in drawn.items()]
    worst = folder / f"{split}_worst.png"
    return [*files, save_worst(answers, data, worst, split=split, title=f"worst of {title}")]
