"""`Seeding`: randomness inside a step (dropout, mixing) as a function of (seed, step)."""

from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch


class Seeding(pl.Callback):
    """Seeds torch before each training batch.

    Restoring generator states does not make a resumed run equal to an uninterrupted one; drawing
    from (seed, step) does, for there is no state to restore.
    """

    def __init__(self, *, seed: int, stream: int) -> None:
        self.seed = seed
        self.stream = stream  # which fit of the run: no two of them share their draws

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        seed_step(self.seed, self.stream, trainer.global_step)


def seed_step(seed: int, stream: int, step: int) -> None:
    """Seeds torch's global generator for one weight update of one fit."""
    words = np.random.SeedSequence([seed, stream, step])
    torch.manual_seed(int(words.generate_state(1, np.uint64)[0]))
