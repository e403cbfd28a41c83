"""Soft macro-F1, alone and together with a loss of each image."""

from typing import Any

import torch
from torch import Tensor, nn

from lightning_modules.training.losses.focal import Focal
from lightning_modules.training.losses.schema import (
    F1CrossEntropySettings,
    F1FocalSettings,
    LossSettings,
)
from lightning_modules.training.losses.weighted import CrossEntropy, WeightedLoss, probabilities


class SoftF1(WeightedLoss):
    """1 - macro-F1 of a batch, counted with probabilities in place of decisions.

    A class's F1 is 2 sum min(p, t) / (sum p + sum t). For hard targets min(p, t) is the usual
    product p t; for soft ones it is least at p = t, which the product is not (Wang et al. 2023,
    "Dice Semimetric Losses", arXiv 2303.16296). The mean is over the classes that the batch has,
    by their weights; so batches should hold most classes. It depends on the batch as a whole: two
    halves do not average to it.
    `class_weights` weigh the classes' F1.
    """

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Logits N x classes, targets int64 N or N x classes -> scalar in 0..1."""
        targets = probabilities(targets, logits.shape[1])
        p = torch.softmax(logits.float(), dim=1)
        soft, tiny = self.soften(targets), torch.finfo(p.dtype).tiny
        f1 = 2 * torch.minimum(p, soft).sum(0) / (p.sum(0) + soft.sum(0)).clamp_min(tiny)
        weights = self.weigh((targets.sum(0) > 0).to(p.dtype))  # of the classes
        return (weights * (1 - f1)).sum() / weights.sum().clamp_min(tiny)


class F1CrossEntropy(F1CrossEntropySettings, nn.Module):
    """`f1_weight` * `SoftF1` + `cross_entropy_weight` * `CrossEntropy`.

    The class weights are those of both, the label smoothing that of the cross-entropy.
    """

    def __post_init__(self) -> None:
        nn.Module.__init__(self)
        weights = _weights(self)
        self.f1 = SoftF1(**weights)
        self.cross_entropy = CrossEntropy(**weights, label_smoothing=self.label_smoothing)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Logits N x classes, targets int64 N or N x classes -> scalar."""
        f1, cross_entropy = self.f1(logits, targets), self.cross_entropy(logits, targets)
        return self.f1_weight * f1 + self.cross_entropy_weight * cross_entropy


class F1Focal(F1FocalSettings, nn.Module):
    """`f1_weight` * `SoftF1` + `focal_weight` * `Focal`.

    The first aims at the metric itself but hardly says where to go while the network knows
    nothing; the second does. The class weights are those of both, `gamma` and the label smoothing
    those of the focal loss.
    """

    def __post_init__(self) -> None:
        nn.Module.__init__(self)
        weights = _weights(self)
        self.f1 = SoftF1(**weights)
        self.focal = Focal(**weights, gamma=self.gamma, label_smoothing=self.label_smoothing)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Logits N x classes, targets int64 N or N x classes -> scalar."""
        f1, focal = self.f1(logits, targets), self.focal(logits, targets)
        return self.f1_weight * f1 + self.focal_weight * focal


def _weights(settings: LossSettings) -> dict[str, Any]:
    """What both parts of a sum are told of the classes."""
    return {key: getattr(settings, key) for key in ("class_weights", "beta", "class_counts")}
