"""An export as Roboflow makes it: each photograph in versions, `<stem>.rf.<hash>.jpg`."""

import hashlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance

from tests.datamodules.audit.conftest import scene

CLASSES = ("can", "cup", "tin")


def write_roboflow(root: Path, folders: dict[str, int], *, versions: int = 3) -> None:
    """Write `photographs` of each class in some versions below each folder.

    Args:
        root: of the export.
        folders: name of a folder (as `train`; "" is the root) -> its photographs of each class.
        versions: of each photograph.
    """
    number = 0
    for folder, photographs in folders.items():
        for label in CLASSES:
            place = root / folder / label
            place.mkdir(parents=True)
            for _ in range(photographs):
                for version in range(versions):
                    image = _augmented(scene(number), np.random.default_rng((number, version)))
                    digest = hashlib.md5(f"{number} {version}".encode()).hexdigest()
                    image.save(place / f"IMG_{number:04d}_jpg.rf.{digest}.jpg", quality=90)
                number += 1


def photograph(image: str) -> str:
    """What all versions of one photograph share."""
    return Path(image).name.split(".rf.")[0]


def _augmented(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Flipped, turned, cropped, brighter or darker, each by its own lot."""
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    image = image.rotate(float(rng.uniform(-15, 15)), Image.Resampling.BILINEAR)
    left, top = (int(rng.integers(0, side // 5)) for side in image.size)
    image = image.crop((left, top, left + image.width * 4 // 5, top + image.height * 4 // 5))
    return ImageEnhance.Brightness(image.resize((64, 64))).enhance(float(rng.uniform(0.7, 1.3)))
