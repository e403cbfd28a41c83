"""Validation images of a run, to try an exported file on."""

import logging

import numpy as np
from omegaconf import DictConfig

from datamodules.errors import DataError
from lightning_modules.experiment.run_context import make_data

log = logging.getLogger(__name__)
NOISE = 64  # images, where there are no real ones


def validation_images(
    cfg: DictConfig, image_size: tuple[int, int], most: int
) -> tuple[np.ndarray, str]:
    """At most `most` images, uint8 N x 3 x H x W, spread over the split, and what they are.

    Args:
        cfg: the run's configuration; its data may be absent.
        image_size: (height, width) in pixels.
        most: number of images.
    """
    cfg.data.image_size = list(image_size)
    try:
        data = make_data(cfg)
        data.source.prepare()
        count = len(data.items("val"))
        chosen = np.linspace(0, count - 1, min(most, count)).round().astype(int)
        pixels = data.pixels("val")
        images = np.stack([pixels[index].transpose(2, 0, 1) for index in chosen])
    except DataError as error:
        size = (NOISE, 3, *image_size)
        images = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
        return images, f"drawn noise images, for the run's data is not there ({error})"
    return images, f"validation images of data={cfg.data.name}"
