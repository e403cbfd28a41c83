"""Soft macro-F1."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_modules.training.losses.weighted import WeightedLoss, probabilities


class SoftF1(WeightedLoss):
    """1 - macro-F1 of a batch, counted with probabilities in place of decisions.

    A class's F1 is 2 sum min(p, t) / (sum p + sum t). For hard targets min(p, t) is the usual
    product p t; for soft ones it is least at p = t, which the product is not (Wang et al. 2023,
    "Dice Semimetric Losses", arXiv 2303.16296). The mean is over the classes that the batch has,
    by their weights; so batches should hold most classes. It depends on the batch as a whole: two
    halves do not average to it.

    Args:
        class_weights: this and the others as of `WeightedLoss`; they weigh the classes' F1.
    """

    def __init__(
        self,
        *,
        class_weights: str = "none",
        beta: float = 0.999,
        label_smoothing: float = 0.0,
        class_counts: Sequence[int] | None = None,
    ) -> None:
        super().__init__(
            class_weights=class_weights,
            beta=beta,
            label_smoothing=label_smoothing,
            class_counts=class_counts,
        )

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Logits N x classes, targets int64 N or N x classes -> scalar in 0..1."""
        targets = probabilities(targets, logits.shape[1])
        p = torch.softmax(logits.float(), dim=1)
        soft, tiny = self.soften(targets), torch.finfo(p.dtype).tiny
        f1 = 2 * torch.minimum(p, soft).sum(0) / (p.sum(0) + soft.sum(0)).clamp_min(tiny)
        weights = self.weigh((targets.sum(0) > 0).to(p.dtype))  # of the classes
        return (weights * (1 - f1)).sum() / weights.sum().clamp_min(tiny)
