"""`EpochCheckpoints`: each epoch is saved, for resuming, and the best one on validation is kept."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins import TorchCheckpointIO
from pytorch_lightning.callbacks import ModelCheckpoint

from lightning_modules.files import whole_file
from lightning_modules.training.callbacks.checkpoint_files import BEST, LAST, save_epoch
from lightning_modules.training.callbacks.stopping import reason_to_stop

MONITOR = "val/f1"


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside, then renames, so that a kill never leaves half a checkpoint.

    Lightning's own saving passes through the system's temporary folder, and a rename across file
    systems is not atomic.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Saves it whole.

        Args:
            checkpoint: the content.
            path: of the file.
            storage_options: of `EpochCheckpoints`: what `save_epoch` is told; else not used.
        """
        path = Path(path)
        if isinstance(storage_options, dict) and path.name == LAST:
            save_epoch(checkpoint, path.parent, **storage_options)
            return
        with whole_file(path) as part:
            torch.save(checkpoint, part)


class EpochCheckpoints(ModelCheckpoint):
    """Saves each epoch as `last.ckpt`, and as `best.ckpt` where its macro-F1 is the best so far.

    It is Lightning's callback for what looks at one, such as a logger that uploads checkpoints,
    but saves at the end of each epoch only, once for both files, and knows the best epoch also of
    a run whose folder was moved. An epoch without validation is never the best one.

    Args:
        folder: of the stage's checkpoints.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(
            folder,
            filename=Path(BEST).stem,
            monitor=MONITOR,
            mode="max",
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )
        self.folder = folder
        # The callbacks of a fit that one of them ended for reasons of its own, else None.
        self._ended_with: list[str] | None = None

    @property
    def state_key(self) -> str:
        """That of Lightning's class, under which earlier versions stored the best score."""
        return super().state_key.replace(type(self).__qualname__, ModelCheckpoint.__qualname__)

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Stops at once where a callback, still there, had ended the interrupted fit."""
        super().on_train_start(trainer, module)
        if self._ended_with is not None and self._ended_with == _names(trainer):
            trainer.should_stop = True

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Saves the epoch."""
        if getattr(trainer, "fast_dev_run", False):
            return
        score = trainer.callback_metrics.get(MONITOR)
        best = self.best_model_score
        is_best = score is not None and (best is None or bool(score > best.to(score.device)))
        if score is not None and is_best:
            path = str(self.folder / BEST)
            self.best_model_score = self.kth_value = score.detach().clone()
            self.best_model_path = self.kth_best_model_path = path
            self.best_k_models = {path: self.best_model_score}
        self.current_score, self.last_model_path = score, str(self.folder / LAST)
        unexplained = trainer.should_stop and reason_to_stop(trainer) is None
        self._ended_with = _names(trainer) if unexplained else None
        trainer.save_checkpoint(self.folder / LAST, storage_options={"is_best": is_best})
        self._last_checkpoint_saved = self.last_model_path
        if trainer.is_global_zero:
            for logger in trainer.loggers:
                logger.after_save_checkpoint(self)

    def on_train_batch_end(self, *_: Any, **__: Any) -> None:
        """Nothing: only whole epochs are saved."""

    def on_validation_end(self, *_: Any) -> None:
        """Nothing: the end of the epoch is still to come."""

    def on_train_end(self, *_: Any) -> None:
        """Nothing: the last epoch is saved."""

    def on_exception(self, *_: Any) -> None:
        """Nothing: an epoch that failed is begun again."""

    def state_dict(self) -> dict[str, Any]:
        """The best score, and whether a callback ended the fit."""
        return {**super().state_dict(), "ended_with": self._ended_with}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The same; paths are those of this run's folder, wherever it lies now."""
        self.best_model_score = score = state_dict["best_model_score"]
        self._ended_with = state_dict.get("ended_with")
        if score is not None:
            self.kth_value = score
            self.best_model_path = self.kth_best_model_path = str(self.folder / BEST)
            self.best_k_models = {self.best_model_path: score}


def _names(trainer: pl.Trainer) -> list[str]:
    return sorted(type(callback).__qualname__ for callback in trainer.callbacks)  # type: ignore[attr-defined]
