"""`Int8Export`: how an int8 file is made from a run, and what it is judged by."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from omegaconf import DictConfig

from compression.onnx import is_onnx_network
from datamodules.errors import DataError
from lightning_modules.deployment.backends import Call
from lightning_modules.deployment.comparison import Quality
from lightning_modules.deployment.formats import Format
from lightning_modules.deployment.inference_model import InferenceModel
from lightning_modules.deployment.run_images import labeled_split, training_images
from lightning_modules.errors import ConfigError
from lightning_modules.networks import Network
from lightning_modules.networks.description import INT8

CALIBRATION = 256  # images, as the step quantize


@dataclass(frozen=True, kw_only=True)
class Int8Export:
    """How an int8 file is made and judged.

    Attributes:
        calibration: training images, uint8 N x 3 x H x W, where a float network is quantised;
            None: the network is int8 already.
        split: of the images that `f1` takes.
        f1: macro-F1 of what gives probabilities.
        max_f1_drop: the largest macro-F1 that may be lost against the network.
    """

    calibration: np.ndarray | None
    split: str
    f1: Callable[[Call], float]
    max_f1_drop: float

    def quality(self, network: InferenceModel, file: InferenceModel) -> Quality:
        """Macro-F1 of both."""
        before, after = self.f1(network.call), self.f1(file.call)
        return Quality(split=self.split, before=before, after=after, max_f1_drop=self.max_f1_drop)


def prepare_int8(
    network: Network,
    form: Format,
    run: Path,
    cfg: DictConfig,
    *,
    quantize: bool,
    max_f1_drop: float,
) -> Int8Export | None:
    """What `export` needs for an int8 file; None where network and file must agree exactly.

    Two runtimes round an int8 network at other places, so that of one graph their outputs differ
    by as much as half of what quantisation changed; onnxruntime alone is what the network runs in.

    Args:
        network: of the run.
        form: the file's format.
        run: the run directory.
        cfg: the run's configuration.
        quantize: whether the export quantises the network.
        max_f1_drop: the largest macro-F1 that may be lost.

    Raises:
        ConfigError: the run's data, which the file is judged on, is not there.
    """
    if not quantize and not (is_onnx_network(network) and form.rounds_int8):
        return None
    cfg.data.image_size = list(network.image_size)
    try:
        split, f1 = labeled_split(run, cfg, network)
        calibration = training_images(run, cfg, network, CALIBRATION) if quantize else None
    except DataError as error:
        raise ConfigError(f"An int8 file is judged on the run's own images: {error}") from error
    return Int8Export(calibration=calibration, split=split, f1=f1, max_f1_drop=max_f1_drop)


def float_run(run: Path, cfg: DictConfig) -> Path:
    """Where the float network of a run lies: its own, or that which its last step quantised.

    Raises:
        ConfigError: the run holds an int8 network only.
    """
    entered = [Path(cfg.from_run)] if cfg.from_run else []
    steps = sorted(path.parent for path in run.glob("steps/*/model"))
    for folder in (run, *reversed(steps), *entered):
        model = folder / "model"
        if model.is_dir() and not (model / INT8).is_file():
            return folder
    raise ConfigError(
        f"{run} holds an int8 network only, and its float one is gone; leave int8 out, or name the "
        "run that it came from."
    )
