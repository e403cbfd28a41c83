"""How the logits of several teachers become one target for the student."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot


def mean_probabilities(scaled: Sequence[Tensor], weights: Tensor) -> Tensor:
    """The weighted mean of the teachers' softened probabilities, N x C.

    Args:
        scaled: one N x C tensor a teacher: logits / temperature.
        weights: K, one a teacher, or K x N, one a teacher and image; they sum to 1 over K.
    """
    probabilities = torch.softmax(torch.stack(list(scaled)), dim=2)  # K x N x C
    if weights.ndim == 1:
        weights = weights[:, None]
    return (weights[:, :, None] * probabilities).sum(dim=0)


def mean_logits(scaled: Sequence[Tensor], weights: Tensor) -> Tensor:
    """The softmax of the weighted mean of the teachers' scaled logits, N x C.

    The geometric mean of their probabilities: classes that one teacher rules out stay out.

    Args:
        scaled: one N x C tensor a teacher: logits / temperature.
        weights: K, one a teacher; they sum to 1.
    """
    return torch.softmax((weights[:, None, None] * torch.stack(list(scaled))).sum(dim=0), dim=1)


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


def aggregate(
    aggregation: str,
    logits: Sequence[Tensor],
    scaled: Sequence[Tensor],
    weights: Tensor,
    labels: Tensor,
) -> Tensor:
    """One target N x C out of several teachers.

    Args:
        aggregation: mean_probabilities, mean_logits, confidence_weighted or best_per_sample.
        logits: the teachers' own, one N x C tensor each.
        scaled: the same as they go into the softmax.
        weights: K, non-negative with a sum above 0; only their ratios matter.
        labels: class indices N, or probabilities N x C.
    """
    weights = weights / weights.sum()
    if aggregation == "mean_logits":
        return mean_logits(scaled, weights)
    if aggregation == "confidence_weighted":
        weights = confidence_weights(label_losses(logits, labels), weights)
    if aggregation == "best_per_sample":
        weights = best_weights(label_losses(logits, labels), weights)
    return mean_probabilities(scaled, weights)
