"""Soft macro-F1, alone and together with a loss of each image."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lightning_modules.training.losses.focal import Focal
from lightning_modules.training.losses.schema import check_limits
from lightning_modules.training.losses.weighted import CrossEntropy, WeightedLoss, probabilities


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


class F1CrossEntropy(nn.Module):
    """`f1_weight` * `SoftF1` + `cross_entropy_weight` * `CrossEntropy`.

    Args:
        f1_weight: of the soft F1, at least 0.
        cross_entropy_weight: of the cross-entropy, at least 0.
        class_weights: of both; this and the others as of `WeightedLoss`.
    """

    def __init__(
        self,
        *,
        f1_weight: float = 1.0,
        cross_entropy_weight: float = 1.0,
        class_weights: str = "none",
        beta: float = 0.999,
        label_smoothing: float = 0.0,
        class_counts: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        check_limits({"f1_weight": f1_weight, "cross_entropy_weight": cross_entropy_weight})
        self.f1 = SoftF1(class_weights=class_weights, beta=beta, class_counts=class_counts)
        self.cross_entropy = CrossEntropy(
            class_weights=class_weights,
            beta=beta,
            label_smoothing=label_smoothing,
            class_counts=class_counts,
        )
        self.f1_weight, self.cross_entropy_weight = f1_weight, cross_entropy_weight

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Logits N x classes, targets int64 N or N x classes -> scalar."""
        f1, cross_entropy = self.f1(logits, targets), self.cross_entropy(logits, targets)
        return self.f1_weight * f1 + self.cross_entropy_weight * cross_entropy


class F1Focal(nn.Module):
    """`f1_weight` * `SoftF1` + `focal_weight` * `Focal`.

    The first aims at the metric itself but hardly says where to go while the network knows
    nothing; the second does.

    Args:
        f1_weight: of the soft F1, at least 0.
        focal_weight: of the focal loss, at least 0.
        gamma: of the focal loss.
        class_weights: of both; this and the others as of `WeightedLoss`.
    """

    def __init__(
        self,
        *,
        f1_weight: float = 1.0,
        focal_weight: float = 1.0,
        gamma: float = 2.0,
        class_weights: str = "none",
        beta: float = 0.999,
        label_smoothing: float = 0.0,
        class_counts: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        check_limits({"f1_weight": f1_weight, "focal_weight": focal_weight})
        self.f1 = SoftF1(class_weights=class_weights, beta=beta, class_counts=class_counts)
        self.focal = Focal(
            gamma=gamma,
            class_weights=class_weights,
            beta=beta,
            label_smoothing=label_smoothing,
            class_counts=class_counts,
        )
        self.f1_weight, self.focal_weight = f1_weight, focal_weight

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Logits N x classes, targets int64 N or N x classes -> scalar."""
        f1, focal = self.f1(logits, targets), self.focal(logits, targets)
        return self.f1_weight * f1 + self.focal_weight * focal
