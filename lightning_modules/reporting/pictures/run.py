"""All pictures of a finished run, below its `figures/`."""

import logging
from pathlib import Path

from datamodules.contact_sheets import RED, Section, Tile, numbered, save_contact_sheet
from datamodules.loading import ImageData
from lightning_modules.evaluation import Predictions, class_rows, reliability, split_metrics
from lightning_modules.reporting.pictures.classification import (
    draw_class_bars,
    draw_confusion,
    draw_reliability,
)
from lightning_modules.reporting.pictures.drawing import FOLDER, fonts, save

log = logging.getLogger(__name__)

WORST = 30  # images of the contact sheet


def draw_pictures(
    predictions: dict[str, Predictions], data: ImageData, folder: Path, *, name: str
) -> list[Path]:
    """Draws what a person looks at; returns the files.

    Args:
        predictions: of the shipped network, by split.
        data: of the run.
        folder: the run directory.
        name: of the run, for the titles.

    Raises:
        ConfigError, DataError: a picture cannot be written.
    """
    files = []
    classes, legend = numbered(data.class_names)
    if legend:
        log.info(legend)
    with fonts([*classes, name]):
        for split, one in predictions.items():
            files += _of_split(split, one, data, folder / FOLDER, name)
    return files


def _of_split(
    split: str, predictions: Predictions, data: ImageData, folder: Path, name: str
) -> list[Path]:
    classes, matrix = numbered(data.class_names).names, predictions.confusion
    metrics = split_metrics(predictions, split=split)
    f1 = metrics[f"{split}/f1"]
    title = f"{name}, {split}"
    drawn = {
        "confusion": draw_confusion(classes, matrix, title=title),
        "reliability": draw_reliability(reliability(predictions), title=title),
        "classes": draw_class_bars(class_rows(classes, matrix), macro_f1=f1, title=title),
    }
    files = [save(figure, folder / f"{split}_{kind}.png") for kind, figure in drawn.items()]
    worst = folder / f"{split}_worst.png"
    return [*files, save_worst(predictions, data, worst, split=split, title=f"worst of {title}")]


def save_worst(
    predictions: Predictions, data: ImageData, path: Path, *, split: str, title: str
) -> Path:
    """A contact sheet of the images of highest loss, those that are wrong in a red frame.

    Below each stand its class, the predicted one with its probability, and its file.

    Args:
        predictions: to the split's images, in order.
        data: has the images.
        path: of the PNG.
        split: `val` or `test`.
        title: above the pictures.
    """
    worst = predictions.losses.argsort(descending=True, stable=True)[:WORST].tolist()
    loader = data.val_dataloader() if split == "val" else data.test_dataloader()
    images, _ = loader.dataset[[(0, index) for index in worst]]  # uint8 N x 3 x H x W
    classes, tiles = numbered(data.class_names).names, []
    for index, image in zip(worst, images.permute(0, 2, 3, 1).numpy(), strict=True):
        label, predicted = int(predictions.labels[index]), int(predictions.classes[index])
        caption = (
            f"is {classes[label]} ({predictions.probabilities[index, label]:.2f})",
            f"seen as {classes[predicted]} ({predictions.probabilities[index, predicted]:.2f})",
            Path(data.items(split)[index].path).name,
        )
        tiles.append(Tile(image, caption, RED if label != predicted else None))
    return save_contact_sheet(path, [Section(tiles)], title=title)
