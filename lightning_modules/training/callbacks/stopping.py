"""What ends a fit before its last epoch, and why it did."""

from datetime import timedelta
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping as LightningEarlyStopping
from pytorch_lightning.callbacks import Timer
from pytorch_lightning.callbacks.early_stopping import EarlyStoppingReason

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
    """Lightning's, which forgets on a resume that it had stopped, and takes an older patience.

    An epoch that did not measure what is watched does not count.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"check_on_train_epoch_end": True, **settings})
        self._limits_then: list[Any] | None = None  # by which a fit that is resumed was ended

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Stops at once where the interrupted fit had already been ended by these settings."""
        waited = self.wait_count and self.wait_count >= self.patience
        limited = self.stopping_reason not in (
            EarlyStoppingReason.NOT_STOPPED,
            EarlyStoppingReason.PATIENCE_EXHAUSTED,
        )
        if waited:
            self.stopping_reason = EarlyStoppingReason.PATIENCE_EXHAUSTED
        elif not limited or self._limits != self._limits_then:
            self.stopping_reason = EarlyStoppingReason.NOT_STOPPED
            return
        trainer.should_stop = True

    @property
    def _limits(self) -> list[Any]:
        return [self.check_finite, self.stopping_threshold, self.divergence_threshold]

    def _run_early_stopping_check(self, trainer: pl.Trainer) -> None:
        if self.monitor in trainer.callback_metrics:
            super()._run_early_stopping_check(trainer)

    def state_dict(self) -> dict[str, Any]:
        """What Lightning's keeps, and by which limits a fit was ended."""
        return {**super().state_dict(), "limits": self._limits}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores all but the patience, which the configuration says."""
        super().load_state_dict({**state_dict, "patience": self.patience})
        self._limits_then = state_dict.get("limits")


def reason_to_stop(trainer: pl.Trainer) -> str | None:
    """Why a fit ends, or has ended, before its last epoch; None: no reason is known.

    A callback of one's own may give its reason as an attribute `stop_reason`.
    """
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, LightningEarlyStopping):
            if callback.stopping_reason is not EarlyStoppingReason.NOT_STOPPED:
                return f"early stopping: {_said(callback)}"
        elif isinstance(callback, Timer):
            left = callback.time_remaining()
            if left is not None and left <= 0:
                return f"max_time: the time of {_duration(callback)} is over"
        elif isinstance(reason := getattr(callback, "stop_reason", None), str):
            return reason
    if 0 <= trainer.max_steps <= trainer.global_step:
        return f"max_steps: {trainer.max_steps} weight updates are done"
    return None


def _said(stopping: LightningEarlyStopping) -> str:
    name, best = stopping.monitor, float(stopping.best_score)
    reasons = {
        EarlyStoppingReason.PATIENCE_EXHAUSTED: (
            f"{name} was not better than {best:.4f} {stopping.wait_count} times in a row "
            f"(patience={stopping.patience})"
        ),
        EarlyStoppingReason.STOPPING_THRESHOLD: (
            f"{name} reached stopping_threshold={stopping.stopping_threshold}"
        ),
        EarlyStoppingReason.DIVERGENCE_THRESHOLD: (
            f"{name} passed divergence_threshold={stopping.divergence_threshold}"
        ),
        EarlyStoppingReason.NON_FINITE_METRIC: f"{name} is no finite number",
    }
    return reasons[stopping.stopping_reason]


def _duration(timer: Timer) -> str:
    """As D days, H:MM:SS."""
    return str(timedelta(seconds=round(timer.time_elapsed() + (timer.time_remaining() or 0))))
