"""A run's own images: to judge, to calibrate and to try what is made of its network."""

from collections.abc import Callable

import numpy as np
import torch
from omegaconf import DictConfig

from compression.quantization import calibration_images
from datamodules.errors import DataError
from datamodules.loading import ImageData
from lightning_modules.deployment.backends import Call
from lightning_modules.evaluation import Predictions, split_metrics
from lightning_modules.runs import make_data

NOISE_IMAGES = 64  # where there are no real ones


def labeled_split(cfg: DictConfig) -> tuple[str, Callable[[Call], float]]:
    """`test` where it is labelled, else `val`; and what gives the F1 of a call on it.

    Raises:
        DataError: the run's data is not there.
    """
    data = _ready(cfg)
    split = "test" if data.has_test else "val"

    def f1(call: Call) -> float:
        loader = data.test_dataloader() if split == "test" else data.val_dataloader()
        found, labels = [], []
        for images, true in loader:
            found.append(torch.from_numpy(np.array(call(images.numpy()))))
            labels.append(true)
        logits = torch.cat(found).log()  # of which the softmax gives the probabilities back
        return split_metrics(Predictions(logits, torch.cat(labels)), split=split)[f"{split}/f1"]

    return split, f1


def training_images(cfg: DictConfig, count: int) -> np.ndarray:
    """The first images of the training split, not augmented, uint8 N x 3 x H x W, to calibrate on.

    Raises:
        DataError: the run's data is not there.
    """
    batches = _ready(cfg).train_eval_batches()
    return calibration_images(((batch[0], batch[1]) for batch in batches), count)


def validation_images(
    cfg: DictConfig, image_size: tuple[int, int], count: int
) -> tuple[np.ndarray, str]:
    """At most `count` images, uint8 N x 3 x H x W, spread over the split, and what they are.

    Says why where they are not of the split.

    Args:
        cfg: the run's configuration; its data may be absent.
        image_size: (height, width) in pixels.
        count: number of images.
    """
    cfg.data.image_size = list(image_size)
    try:
        data = make_data(cfg)
        data.source.prepare()
        total = len(data.items("val"))
        chosen = np.linspace(0, total - 1, min(count, total)).round().astype(int)
        pixels = data.pixels("val")
        images = np.stack([pixels[index].transpose(2, 0, 1) for index in chosen])
    except DataError as error:
        size = (NOISE_IMAGES, 3, *image_size)
        images = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
        print(f"no data     {error}", flush=True)  # its path is not for the file that is shipped
        return images, "drawn noise images, for the run's data is not there"
    return images, f"validation images of data={cfg.data.name}"


def _ready(cfg: DictConfig) -> ImageData:
    data = make_data(cfg)
    data.prepare_data()
    data.setup()
    return data
