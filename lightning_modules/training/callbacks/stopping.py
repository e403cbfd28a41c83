"""What ends a fit before its last epoch: a loss that is no number, or one that stands still."""

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping as LightningEarlyStopping

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
        """Looks at the loss that the batch gave."""
        loss = outputs["loss"] if isinstance(outputs, dict) else outputs
        if torch.isfinite(loss):
            return
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        raise ConfigError(
            f"The loss became {loss.item()} in {self.stage}, epoch {trainer.current_epoch}, update "
            f"{trainer.global_step}, learning rate {rate:.3g}; lower optimizer.lr or set "
            "trainer.gradient_clip_val=1 (checkpoints of earlier epochs are kept)."
        )


class EarlyStopping(LightningEarlyStopping):
    """Lightning's, which forgets on a resume that it had stopped, and takes an older patience."""

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Stops at once where the interrupted fit had already waited long enough."""
        if self.wait_count and self.wait_count >= self.patience:
            trainer.should_stop = True

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores all but the patience, which the configuration says."""
        super().load_state_dict({**state_dict, "patience": self.patience})
