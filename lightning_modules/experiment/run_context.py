"""What all stages of one run share."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from torch import nn

from datamodules.loading.image_data import ImageData
from lightning_modules.evaluation.metrics import evaluate
from lightning_modules.experiment.stages import Stage
from lightning_modules.runs import saved_run
from lightning_modules.training.devices import first_device


@dataclass(frozen=True)
class RunContext:
    """What all fits of one run share: configuration, data, directory and W&B run (or None)."""

    cfg: DictConfig
    data: ImageData
    folder: Path
    wandb_run: Any = None

    @property
    def device(self) -> torch.device:
        """Where networks are evaluated: on the first device that trains."""
        return first_device(self.cfg.trainer)

    @property
    def trust(self) -> set[str]:
        """Packages whose networks and steps a saved network of this run may name."""
        return saved_run.trusted_packages(self.cfg)

    def checkpoints(self, stage: Stage) -> Path:
        """Where a stage's checkpoints lie."""
        return self.folder / "steps" / stage.name / "checkpoints"


def validation_metrics(network: nn.Module, run: RunContext) -> dict[str, float]:
    """`val/f1`, `val/accuracy` and `val/loss` of a network."""
    return evaluate(network, run.data.val_dataloader(), device=run.device)
