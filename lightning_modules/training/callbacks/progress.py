"""What a person sees while a network trains."""

import logging
import sys
import time

import pytorch_lightning as pl
from pytorch_lightning.callbacks import RichProgressBar

log = logging.getLogger(__name__)


def progress() -> pl.Callback:
    """A live bar on a terminal, one plain line an epoch everywhere else."""
    return RichProgressBar(leave=True) if sys.stdout.isatty() else EpochLines()


class EpochLines(pl.Callback):
    """Logs `epoch 3/30  train/loss 0.812  val/f1 0.701  ...  4.1 s`."""

    def __init__(self) -> None:
        self._start = 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._start = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        figures = sorted(trainer.callback_metrics.items())
        shown = "  ".join(f"{name} {value:.4f}" for name, value in figures)
        seconds = time.perf_counter() - self._start
        epoch = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
        log.info(f"  {epoch:<12} {shown}  {seconds:.1f} s")
