"""`Classifier`: a network, its loss and its optimizer, as Lightning fits them."""

import math
from collections.abc import Callable
from typing import Any, cast

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import LRSchedulerConfigType, OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torchmetrics import MeanMetric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score

from datamodules.loading import Batch
from lightning_modules.training.auxiliary.objectives import AuxiliaryLosses
from lightning_modules.training.optimization import FitLength, OptimizerFactory, SchedulerFactory

# What a restored schedule must not bring back, so that a resumed run may have more epochs.
LENGTHS = ("total_steps", "_schedule_phases", "T_max", "_milestones", "total_iters")


def classification_metrics(num_classes: int) -> MetricCollection:
    """`f1` (macro: the mean over classes) and `accuracy` (share of images), both in 0..1."""
    return MetricCollection(
        {
            "f1": MulticlassF1Score(num_classes, average="macro"),
            "accuracy": MulticlassAccuracy(num_classes, average="micro"),
        }
    )


class Classifier(pl.LightningModule):
    """Fits `network` (uint8 N x 3 x H x W -> logits N x classes) to labelled batches.

    Args:
        network: what is trained; `restore` data travels in the checkpoint beside it.
        loss: (logits N x classes, targets int64 N or N x classes) -> scalar.
        optimizer: makes the optimizer from this module.
        scheduler: makes the schedule and its timing from the optimizer and the length of the fit.
        num_classes: number of classes.
        channels_last: keep activations in channels-last memory order.
        mixing: (images, labels) -> images and targets of a training batch, or None.
        auxiliary: extra losses on feature maps, or None; trained, but no part of the network.
        penalty: an extra loss of the network (sparsity training), or None.
        resume_state: plain data stored in each checkpoint: what it takes to rebuild the network.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        loss: nn.Module,
        optimizer: OptimizerFactory,
        scheduler: SchedulerFactory,
        num_classes: int,
        channels_last: bool = False,
        mixing: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None,
        auxiliary: AuxiliaryLosses | None = None,
        penalty: Callable[[nn.Module], Tensor | None] | None = None,
        resume_state: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.loss = loss
        self.auxiliary = AuxiliaryLosses(network) if auxiliary is None else auxiliary
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.metrics = classification_metrics(num_classes)
        self.mean_loss = MeanMetric()
        self._make_optimizer = optimizer
        self._make_scheduler = scheduler
        self._mixing = mixing
        self._penalty = penalty
        self._origin = resume_state or {}

    def forward(self, images: Tensor) -> Tensor:
        """Logits N x classes of images uint8 N x 3 x H x W."""
        return self.network(images.contiguous(memory_format=self.memory_format))

    def objective(self, images: Tensor, labels: Tensor) -> Tensor:
        """The scalar that one training step reduces, before auxiliary losses and the penalty."""
        return self.loss(self(images), labels)

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """The scalar that one step reduces; its parts are logged as `train/*`."""
        images, targets, *keys = batch  # keys only where a Distiller asked for them
        if self._mixing:
            images, targets = self._mixing(images, targets)
        with self.auxiliary.features:
            loss = self.objective(images, targets, *keys)
            extra = self.auxiliary(images, targets)
        size = len(images)
        for name, value in extra.items():
            loss = loss + value
            self._log_training(name, value, size)
        penalty = self._penalty(self.network) if self._penalty else None
        if penalty is not None:
            loss = loss + penalty
        self._log_training("loss", loss, size, prog_bar=True)
        return loss

    def _log_training(self, name: str, value: Tensor, size: int, *, prog_bar: bool = False) -> None:
        """Shows the epoch's mean, over all processes, as `train/<name>`."""
        self.log(
            f"train/{name}",
            value,
            batch_size=size,
            prog_bar=prog_bar,
            on_step=False,
            on_epoch=True,
            sync_dist=True,
        )

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Counts one batch into the epoch's `val/*`."""
        images, labels = batch[:2]
        logits = self(images)
        self.metrics.update(logits, labels)
        loss = nn.functional.cross_entropy(logits, labels)
        self.mean_loss.update(loss, weight=len(images))

    def on_validation_epoch_end(self) -> None:
        """Logs `val/f1`, `val/accuracy` and `val/loss`, over all processes."""
        metrics = {f"val/{name}": value for name, value in self.metrics.compute().items()}
        self.log_dict(metrics, prog_bar=True)
        # Not by `sync_dist`: it is wrong where processes have different numbers of images.
        self.log("val/loss", self.mean_loss.compute())
        self.metrics.reset()
        self.mean_loss.reset()

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """The optimizer, and the schedule for a fit of this length."""
        optimizer = self._make_optimizer(self)
        steps = max(1, int(self.trainer.estimated_stepping_batches))
        batches = int(self.trainer.num_training_batches)
        per_epoch = max(1, math.ceil(batches / self.trainer.accumulate_grad_batches))
        schedule = self._make_scheduler(optimizer, FitLength(steps, per_epoch, batches))
        return {"optimizer": optimizer, "lr_scheduler": cast(LRSchedulerConfigType, schedule)}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds what it takes to rebuild the network."""
        checkpoint["resume_state"] = self._origin

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leaves the length of the schedule to the configuration, which may have more epochs."""
        for schedule in checkpoint["lr_schedulers"]:
            for state in (schedule, *schedule.get("_schedulers", ())):
                for key in LENGTHS:
                    state.pop(key, None)
