"""`DivergenceGuard`: ends a fit whose loss is no number."""

from typing import Any

import pytorch_lightning as pl
import torch

from lightning_modules.errors import ConfigError


class DivergenceGuard(pl.Callback):
    """Stops at the first NaN or infinite loss, before it reaches a checkpoint.

    Raises:
        ConfigError: naming the step of the run, epoch, weight update and learning rate.
    """

    def __init__(self, stage: str) -> None:
        self.stage = stage

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, *_: Any
    ) -> None:
        loss = outputs["loss"] if isinstance(outputs, dict) else outputs
        if torch.isfinite(loss):
            return
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        raise ConfigError(
            f"The loss became {loss.item()} in {self.stage}, epoch {trainer.current_epoch}, update "
            f"{trainer.global_step}, learning rate {rate:.3g}; lower optimizer.lr or set "
            "trainer.gradient_clip_val=1 (checkpoints of earlier epochs are kept)."
        )
