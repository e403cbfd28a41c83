"""Randomness as a function: of (seed, batch) inside a step, of the epoch among the images."""

from typing import Any, cast

import numpy as np
import pytorch_lightning as pl
import torch


class Seeding(pl.Callback):
    """Seeds torch before each training batch.

    Restoring generator states does not make a resumed run equal to an uninterrupted one; drawing
    from (seed, batch) does, for there is no state to restore. Batches are counted over all epochs,
    not weight updates, so that those of one accumulated update differ.
    """

    def __init__(self, *, seed: int, stream: int) -> None:
        self.seed = seed
        self.stream = stream  # which fit of the run: no two of them share their draws

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Seeds by the number of the batch since the fit began."""
        batch = trainer.fit_loop.total_batch_idx
        seed_step(self.seed, self.stream, batch, rank=trainer.global_rank)


def seed_step(seed: int, stream: int, step: int, *, rank: int = 0) -> None:
    """Seeds torch's global generator for one batch of one fit, in one of its processes.

    Args:
        seed: of the run.
        stream: which fit of the run.
        step: number of the batch within the fit.
        rank: number of the process within the fit.
    """
    words = [seed, stream, step, *([rank] if rank else [])]
    torch.manual_seed(int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0]))


class SameBatches(pl.Callback):
    """With few batches an epoch: whether a network can learn them by heart (it must)."""

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Sets the sampler back to its first epoch."""
        cast(Any, trainer.train_dataloader).sampler.set_epoch(0)
