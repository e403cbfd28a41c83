"""`RankBuffers`: all processes validate, and end, with the first one's BatchNorm statistics."""

import pytorch_lightning as pl
import torch
from torch import distributed


class RankBuffers(pl.Callback):
    """Sends the buffers of the first process to the others before each validation.

    Parameters are equal on all of them, for all take the same steps; BatchNorm statistics follow
    each process's own images. The first one's are saved, so they are what must be validated.
    Placed after an average of the weights, it sends the average's.
    """

    @torch.no_grad()
    def on_validation_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        for buffer in module.buffers():
            distributed.broadcast(buffer, src=0)
