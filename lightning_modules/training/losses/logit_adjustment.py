"""Logit adjustment."""

import torch
from torch import Tensor
from torch.nn import functional

from lightning_modules.training.losses.schema import LogitAdjustmentSettings
from lightning_modules.training.losses.weighted import WeightedLoss, probabilities, require_counts


class LogitAdjustment(LogitAdjustmentSettings, WeightedLoss):
    """Cross-entropy of logits + tau log(share of the class among the training images).

    What the network has to learn is then what tells the classes apart, not how frequent they are;
    at inference its plain logits are taken, which suits the balanced error (Menon et al. 2021,
    "Long-Tail Learning via Logit Adjustment", equation 10). A class without training images
    counts as if it had one, and the counts are always needed.
    """

    adjustment: Tensor  # classes

    def __post_init__(self) -> None:
        super().__post_init__()
        counts = torch.tensor(require_counts(self.class_counts, "logit adjustment")).clamp_min(1)
        adjustment = self.tau * torch.log(counts / counts.sum())
        self.register_buffer("adjustment", adjustment, persistent=False)  # classes

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Logits N x classes, targets int64 N or N x classes -> scalar."""
        adjusted = logits.float() + self.adjustment.to(logits.device)
        targets = probabilities(targets, logits.shape[1])
        return self.mean(-functional.log_softmax(adjusted, dim=1), targets)
