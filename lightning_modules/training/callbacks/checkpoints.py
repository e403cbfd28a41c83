"""Checkpoints: the last whole epoch, for resuming, and the best one on validation."""

from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins import TorchCheckpointIO
from pytorch_lightning.callbacks import ModelCheckpoint

from lightning_modules.files import whole_file

LAST, BEST = "last.ckpt", "best.ckpt"


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside, then renames, so that a kill never leaves half a checkpoint.

    Lightning's own saving passes through the system's temporary folder, and a rename across file
    systems is not atomic.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Saves it whole; `storage_options` is Lightning's and not used here."""
        with whole_file(Path(path)) as part:
            torch.save(checkpoint, part)


def checkpoint_callbacks(folder: Path) -> list[ModelCheckpoint]:
    """Savers of `best.ckpt` (best validation macro-F1) and `last.ckpt` (each epoch).

    In this order: `last.ckpt` holds which epoch is the best, this one included.
    """
    saver = partial(
        ModelCheckpoint, folder, save_on_train_epoch_end=True, enable_version_counter=False
    )
    return [
        saver(filename=Path(BEST).stem, monitor="val/f1", mode="max"),
        saver(filename=Path(LAST).stem, save_top_k=1, every_n_epochs=1),
    ]


def resume_state(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """What a Classifier stored in a checkpoint: how to rebuild its network before loading it."""
    key = "resume_state" if "resume_state" in checkpoint else "origin"  # of earlier versions
    return checkpoint[key]


def read_checkpoint(folder: Path, name: str = LAST) -> dict[str, Any] | None:
    """The content of a checkpoint, loaded without unpickling code, or None where there is none."""
    path = folder / name
    return torch.load(path, map_location="cpu", weights_only=True) if path.is_file() else None
