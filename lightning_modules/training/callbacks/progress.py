"""What is told of each epoch: a bar or a line to a person, a row to the run's `metrics.csv`."""

import csv
import io
import logging
import sys
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import RichProgressBar

from lightning_modules.files import write_text

log = logging.getLogger(__name__)


def progress() -> pl.Callback:
    """A live bar on a terminal, one plain line an epoch everywhere else."""
    return RichProgressBar(leave=True) if sys.stdout.isatty() else EpochLines()


class EpochLines(pl.Callback):
    """Logs `epoch 3/30  train/loss 0.812  val/f1 0.701  ...  4.1 s`."""

    def __init__(self) -> None:
        self._start = 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Starts the clock."""
        self._start = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Logs the line, in the first process only."""
        if not trainer.is_global_zero:
            return
        metrics = sorted(trainer.callback_metrics.items())
        shown = "  ".join(f"{name} {value:.4f}" for name, value in metrics)
        seconds = time.perf_counter() - self._start
        epoch = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
        log.info(f"  {epoch:<12} {shown}  {seconds:.1f} s")


COLUMNS = ("step", "round", "epoch", "train/loss", "val/loss", "val/f1", "val/accuracy", "lr")


Row = dict[str, Any]


class EpochTable(pl.Callback):
    """Writes the table anew after each epoch, in one piece.

    A resumed run takes back the rows of the epochs it repeats, so that none stands twice. In an
    epoch that was not validated the validation's columns are empty: what an earlier epoch measured
    is forgotten when the next one begins, for all callbacks alike.
    """

    def __init__(self, path: Path, *, step: str, round: int) -> None:
        self.path = path
        self.step, self.round = step, round
        self._start = 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Starts the clock, and forgets what was measured on the validation images before."""
        self._start = time.perf_counter()
        for name in [name for name in trainer.callback_metrics if name.startswith("val/")]:
            del trainer.callback_metrics[name]

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Adds the row, in the first process only."""
        if not trainer.is_global_zero:
            return
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        row = {
            "step": self.step,
            "round": self.round,
            "epoch": trainer.current_epoch,
            **{name: round(value, 6) for name, value in metrics.items()},
            "lr": trainer.optimizers[0].param_groups[0]["lr"],
            "seconds": round(time.perf_counter() - self._start, 3),
        }
        self._write([*self._earlier(trainer.current_epoch), row])

    def epochs_before(self) -> int:
        """How many epochs the fits before this one had."""
        return len(self._earlier(0))

    def _earlier(self, epoch: int) -> list[Row]:
        """The rows that stay when this epoch is run again; none of a later round does."""
        if not self.path.is_file():
            return []
        with self.path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        here = (self.round, epoch)
        return [r for r in rows if r["step"] != self.step or _position(r) < here]

    def _write(self, rows: list[Row]) -> None:
        measured = (name for row in rows for name in row if name != "seconds")
        columns = dict.fromkeys([*COLUMNS, *measured, "seconds"])
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(self.path, text.getvalue())


def _position(row: Row) -> tuple[int, int]:
    """Round and epoch of a row within its step."""
    return int(row["round"]), int(row["epoch"])
