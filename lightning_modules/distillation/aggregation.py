"""How the logits of several teachers become one target for the student.

Each is called with (logits, scaled, weights, labels) and gives probabilities N x C:

- logits: the teachers' own, one N x C tensor each.
- scaled: the same as they go into the softmax: normalized where a term says so, over temperature.
- weights: K, one a teacher, non-negative; they sum to 1.
- labels: class indices N, or probabilities N x C after images were mixed.

One of one's own is such a function, or an object that is called so.
"""

from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

Aggregation = Callable[[Sequence[Tensor], Sequence[Tensor], Tensor, Tensor], Tensor]


def mean_probabilities(
    logits: Sequence[Tensor], scaled: Sequence[Tensor], weights: Tensor, labels: Tensor
) -> Tensor:
    """The weighted mean of the teachers' softened probabilities."""
    return _weighted_mean(scaled, weights[:, None])


def mean_logits(
    logits: Sequence[Tensor], scaled: Sequence[Tensor], weights: Tensor, labels: Tensor
) -> Tensor:
    """The softmax of the weighted mean of the teachers' scaled logits.

    The geometric mean of their probabilities: classes that one teacher rules out stay out.
    """
    return torch.softmax((weights[:, None, None] * torch.stack(list(scaled))).sum(dim=0), dim=1)


def confidence_weighted(
    logits: Sequence[Tensor], scaled: Sequence[Tensor], weights: Tensor, labels: Tensor
) -> Tensor:
    """The mean of probabilities, image by image more of the teachers that are right."""
    return _weighted_mean(scaled, confidence_weights(label_losses(logits, labels), weights))


def best_per_sample(
    logits: Sequence[Tensor], scaled: Sequence[Tensor], weights: Tensor, labels: Tensor
) -> Tensor:
    """For each image the probabilities of the teacher that knows its label best."""
    return _weighted_mean(scaled, best_weights(label_losses(logits, labels), weights))


class SumOfLosses:
    """Each teacher's own loss, at its own temperature, times its weight, added up.

    Attributes:
        sums_losses: whether there is a loss a teacher, instead of one of a joint target.
    """

    sums_losses: ClassVar[bool] = True

    def __call__(
        self, logits: Sequence[Tensor], scaled: Sequence[Tensor], weights: Tensor, labels: Tensor
    ) -> Tensor:
        """The student's optimum: the weighted mean of the probabilities."""
        return mean_probabilities(logits, scaled, weights, labels)


def _weighted_mean(scaled: Sequence[Tensor], weights: Tensor) -> Tensor:
    """Of probabilities N x C; the weights are K x N, or K x 1."""
    probabilities = torch.softmax(torch.stack(list(scaled)), dim=2)  # K x N x C
    return (weights[:, :, None] * probabilities).sum(dim=0)


def label_losses(logits: Sequence[Tensor], labels: Tensor) -> Tensor:
    """Each teacher's cross-entropy on the labels (N, or probabilities N x C), K x N."""
    return torch.stack([cross_entropy(z, labels, reduction="none") for z in logits])


def confidence_weights(losses: Tensor, weights: Tensor) -> Tensor:
    """Weights K x N that favour, image by image, the teachers that are right about the label.

    (1 - softmax over teachers of the label losses) / (K - 1) (Zhang, Chen, Wang 2022, CA-MKD,
    eq. 2), times each teacher's own weight, scaled to sum to 1. One teacher alone gets 1.

    Args:
        losses: label losses, K x N.
        weights: K, non-negative.
    """
    if len(losses) == 1:
        return torch.ones_like(losses)
    confidence = (1 - torch.softmax(losses, dim=0)) * weights[:, None]
    total = confidence.sum(dim=0)
    # The only teacher with a weight, and as wrong as can be on an image, still is the only one.
    return torch.where(total > 0, confidence / total.clamp_min(1e-12), weights[:, None])


def best_weights(losses: Tensor, weights: Tensor) -> Tensor:
    """1 for the teacher with the lowest label loss on an image, else 0: K x N.

    Of equals the first; a teacher of weight 0 is never chosen.

    Args:
        losses: label losses, K x N.
        weights: K, non-negative.
    """
    losses = losses.masked_fill(weights[:, None] <= 0, torch.inf)
    return one_hot(losses.argmin(dim=0), len(losses)).T.to(losses.dtype)
