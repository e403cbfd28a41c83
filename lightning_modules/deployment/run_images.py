"""A run's own images, or other ones: to judge, to calibrate and to try what its network becomes."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig

from compression.quantization import calibration_images
from datamodules.errors import DataError
from lightning_modules.deployment.backends import Call
from lightning_modules.deployment.model_metadata import ModelMetadata
from lightning_modules.evaluation import Predictions, prediction_metrics
from lightning_modules.networks import Network
from lightning_modules.runs import (
    WHOLE,
    EvaluationData,
    evaluation_data,
    make_data,
    make_evaluation_data,
    trained_on,
)

NOISE_IMAGES = 64  # where there are no real ones
JUDGED = ("test", "val")  # the first that there is, else what there is


def labeled_split(
    run: Path, cfg: DictConfig, network: Network | ModelMetadata
) -> tuple[str, Callable[[Call], float]]:
    """`test` where it is labelled, else `val`, or all of other data that has no splits.

    Args:
        run: the run directory.
        cfg: its configuration, with a command's overrides.
        network: that is judged, or what an exported file says of it.

    Returns:
        The name of the split; and what gives the macro-F1 of a call on it.

    Raises:
        ConfigError: the data has a class that the network does not know.
        DataError: the data is not there.
    """
    measured = _judged(evaluation_data(run, cfg, network.class_names), JUDGED)
    for note in measured.notes:
        print(note, flush=True)
    (split,) = measured.index.splits
    data = make_evaluation_data(cfg, measured)

    def f1(call: Call) -> float:
        found, labels = [], []
        for images, true in data.eval_dataloader(split):
            found.append(torch.from_numpy(np.array(call(images.numpy()))))
            labels.append(true)
        logits = torch.cat(found).log()  # of which the softmax gives the probabilities back
        predictions = Predictions(logits, torch.cat(labels))
        metrics = prediction_metrics(predictions, split=split, present_only=not measured.own)
        return metrics[f"{split}/f1"]

    return split, f1


def training_images(run: Path, cfg: DictConfig, network: Network, count: int) -> np.ndarray:
    """Images to calibrate on, not augmented, uint8 N x 3 x H x W: the first that were trained on.

    Of other data some of `train`, or of all that there is.

    Raises:
        ConfigError: the data has a class that the network does not know.
        DataError: the data is not there.
    """
    measured = evaluation_data(run, cfg, network.class_names, [WHOLE])
    if not measured.own:
        return _spread(cfg, measured, network, count)
    data = make_data(cfg, trained_on(run).splits(cfg))
    data.prepare_data()
    data.setup()
    batches = data.train_eval_batches()
    return calibration_images(((batch[0], batch[1]) for batch in batches), count)


def validation_images(
    run: Path, cfg: DictConfig, network: Network, count: int
) -> tuple[np.ndarray, str]:
    """At most `count` images, uint8 N x 3 x H x W, spread over a split, and what they are.

    Says why where they are not of the split.

    Args:
        run: the run directory.
        cfg: its configuration; its data may be absent.
        network: of the run.
        count: number of images.
    """
    cfg.data.image_size = list(network.image_size)
    try:
        measured = _judged(evaluation_data(run, cfg, network.class_names), ("val", "test"))
        images = _spread(cfg, measured, network, count)
    except DataError as error:
        size = (NOISE_IMAGES, 3, *network.image_size)
        images = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
        print(f"no data     {error}", flush=True)  # its path is not for the file that is shipped
        return images, "drawn noise images, for the run's data is not there"
    (split,) = measured.index.splits
    kind = {"val": "validation "}.get(split, "" if split == WHOLE else f"{split} ")
    return images, f"{kind}images of data={cfg.data.name}"


def _judged(measured: EvaluationData, preferred: Sequence[str]) -> EvaluationData:
    """With only one of the splits."""
    splits = measured.index.splits
    name = next((name for name in preferred if name in splits), next(iter(splits)))
    return replace(measured, index=replace(measured.index, splits={name: splits[name]}))


def _spread(cfg: DictConfig, measured: EvaluationData, network: Network, count: int) -> np.ndarray:
    """At most `count` images of the only split, evenly spread over it."""
    (split,) = measured.index.splits
    data = make_evaluation_data(cfg, measured)
    pixels, total = data.pixels(split), len(data.items(split))
    chosen = np.linspace(0, total - 1, min(count, total)).round().astype(int)
    return np.stack([pixels[index].transpose(2, 0, 1) for index in chosen])
