"""Training as run.py does it, with the seconds of each epoch."""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from omegaconf import DictConfig

from datamodules.loading import ImageData
from lightning_modules.config import fresh_config
from lightning_modules.distillation import Teacher
from lightning_modules.experiment import RunContext, initial_network, stages_of
from lightning_modules.experiment.fit import fit
from lightning_modules.runs import make_data, run_directory

CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}


class EpochClock(pl.Callback):
    """Notes when each epoch of a fit starts, and when the fit ends.

    Args:
        clock: of `CLOCKS`: seconds of the wall clock, or of this process on the processor.
    """

    times: list[float] = []  # of the latest fit: its configuration builds the callback anew

    def __init__(self, clock: str) -> None:
        self.now = CLOCKS[clock]

    def on_fit_start(self, *_: object) -> None:
        """Forgets the fit before."""
        EpochClock.times.clear()

    def on_train_epoch_start(self, *_: object) -> None:
        """Notes the start of an epoch."""
        EpochClock.times.append(self.now())

    def on_fit_end(self, *_: object) -> None:
        """Notes the end of the last epoch."""
        EpochClock.times.append(self.now())


def timed_config(overrides: Sequence[str], *, epochs: int, clock: str = "wall") -> DictConfig:
    """The configuration of `run.py OVERRIDES`, without logger, its epochs timed.

    Args:
        overrides: Hydra overrides over `conf/config.yaml`.
        epochs: of a fit; its first one is not counted.
        clock: of `CLOCKS`.
    """
    run_directory.register_resolvers()
    cfg = fresh_config([*overrides, "logger=none", f"trainer.max_epochs={epochs}"])
    cfg.callbacks = {"clock": {"_target_": f"{__name__}.EpochClock", "clock": clock}}
    return cfg


def open_data(cfg: DictConfig) -> ImageData:
    """The images of a configuration, decoded and ready."""
    data = make_data(cfg)
    data.prepare_data()
    data.setup()
    return data


def epoch_seconds(
    cfg: DictConfig, data: ImageData, *, teachers: Sequence[Teacher] = ()
) -> list[float]:
    """Seconds of each epoch but the first, validation and checkpoints included.

    Args:
        cfg: of `timed_config`.
        data: its images.
        teachers: that teach; logits to store are stored before the first epoch.
    """
    with tempfile.TemporaryDirectory() as folder:
        (stage,) = stages_of(cfg)
        context = RunContext(cfg, data, Path(folder))
        fit(initial_network(cfg, data), context, stage, teachers=list(teachers))
    return np.diff(EpochClock.times).tolist()[1:]


def machine() -> str:
    """The device and the threads that measurements are made with."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    return f"{device}, {torch.get_num_threads()} threads"
