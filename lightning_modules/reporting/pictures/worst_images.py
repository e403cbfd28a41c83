"""The images that a network classifies worst, as it saw them."""

from pathlib import Path

from datamodules.contact_sheets.contact_sheet import Section, save_contact_sheet
from datamodules.contact_sheets.tile import RED, Tile
from datamodules.loading.image_data import ImageData
from lightning_modules.evaluation.predictions import Answers

SHOWN = 30  # images


def save_worst(answers: Answers, data: ImageData, path: Path, *, split: str, title: str) -> Path:
    """A contact sheet of the images of highest loss, those that are wrong in a red frame.

    Below each stand its class, the predicted one with its probability, and its file.

    Args:
        answers: to the split's images, in order.
        data: has the images.
        path: of the PNG.
        split: `val` or `test`.
        title: above the pictures.
    """
    worst = answers.losses.argsort(descending=True, stable=True)[:SHOWN].tolist()
    loader = data.val_dataloader() if split == "val" else data.test_dataloader()
    images, _ = loader.dataset[[(0, index) for index in worst]]  # uint8 N x 3 x H x W
    tiles = []
    for index, image in zip(worst, images.permute(0, 2, 3, 1).numpy(), strict=True):
        label, predicted = int(answers.labels[index]), int(answers.predictions[index])
        caption = (
            f"is {data.class_names[label]} ({answers.probabilities[index, label]:.2f})",
            f"seen as {data.class_names[predicted]} "
            f"({answers.probabilities[index, predicted]:.2f})",
            Path(data.items(split)[index].path).name,
        )
        tiles.append(Tile(image, caption, RED if label != predicted else None))
    return save_contact_sheet(path, [Section(tiles)], title=title)
