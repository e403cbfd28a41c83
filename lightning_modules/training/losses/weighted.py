"""What the losses share (soft targets, label smoothing, class weights), and cross-entropy."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from datamodules.loading import class_weights as weights_from
from lightning_modules.errors import ConfigError
from lightning_modules.runs.class_samplers import CLASS_WEIGHTS, class_sampler
from lightning_modules.training.losses.schema import LossSettings


class WeightedLoss(LossSettings, nn.Module):
    """The base of losses (logits N x classes, targets) -> scalar.

    Targets are class indices int64 N, or probabilities N x classes that sum to 1, as mixing two
    images makes them; an index is the same as its one-hot row. All is computed in float32, also
    under half-precision autocast.

    Raises:
        ConfigError: a value that is not allowed, or weights without counts.
    """

    weights: Tensor | None  # classes

    def __post_init__(self) -> None:
        nn.Module.__init__(self)
        weights: Tensor | None = None
        if self.class_weights != "none":
            counts = require_counts(self.class_counts, f"class_weights={self.class_weights}")
            sampler = class_sampler(self.class_weights, "loss.class_weights", CLASS_WEIGHTS)
            weights = torch.tensor(weights_from(counts, sampler, self.beta))
        self.register_buffer("weights", weights, persistent=False)  # the counts give it

    def weigh(self, values: Tensor) -> Tensor:
        """`values` (... x classes), each class times its weight."""
        return values if self.weights is None else values * self.weights.to(values)

    def soften(self, targets: Tensor) -> Tensor:
        """Targets N x classes after label smoothing."""
        return (1 - self.label_smoothing) * targets + self.label_smoothing / targets.shape[1]

    def mean(self, terms: Tensor, targets: Tensor) -> Tensor:
        """The targets' mean of a loss that each class would have.

        As in torch's `cross_entropy`, the sum over the images is divided by the sum of their
        weights; of a soft target's weight each class has its share. (For soft targets torch divides
        by N instead, so that there a one-hot row differs from its index.)

        Args:
            terms: N x classes, the loss if that class were the image's.
            targets: N x classes, probabilities.
        """
        total = self.weigh(targets).sum()
        # Nothing is to be learnt from a batch whose classes all have the weight 0.
        return self.weigh(self.soften(targets) * terms).sum() * torch.where(
            total > 0, 1 / total, 0.0
        )


def probabilities(targets: Tensor, num_classes: int) -> Tensor:
    """Class indices int64 N, or floating N x classes, as float32 N x classes."""
    if targets.ndim == 1:
        targets = functional.one_hot(targets, num_classes)
    return targets.float()


def require_counts(class_counts: Sequence[int] | None, what: str) -> Sequence[int]:
    """The counts, or a sentence where there are none.

    Raises:
        ConfigError: there are none.
    """
    if class_counts is None:
        raise ConfigError(f"{what} needs class_counts, the training images of each class.")
    return class_counts


class CrossEntropy(WeightedLoss):
    """-log p of the target class; settings as of `LossSettings`.

    With `class_weights=effective_number` it is the class-balanced softmax loss of Cui et al. 2019,
    "Class-Balanced Loss Based on Effective Number of Samples", section 4.2.
    """

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Logits N x classes, targets int64 N or N x classes -> scalar."""
        targets = probabilities(targets, logits.shape[1])
        return self.mean(-functional.log_softmax(logits.float(), dim=1), targets)
