"""Distillation losses: pure functions of the student's logits and the teachers' targets."""

import torch
from torch import Tensor
from torch.nn import functional

from lightning_modules.errors import ConfigError


def soft_target_loss(logits: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """T^2 KL(targets || softmax(logits / T)), Hinton et al. 2015, section 2.

    Args:
        logits: N x classes, the student's.
        targets: N x classes, probabilities that sum to 1.
        temperature: T > 0; T^2 keeps the gradient's size the same for every T.
    """
    student = functional.log_softmax(logits / temperature, dim=1)
    return temperature**2 * functional.kl_div(student, targets, reduction="batchmean")


def mean_probabilities(
    logits: list[Tensor], weights: list[float], temperatures: list[float]
) -> Tensor:
    """The teachers' weighted mean of softened probabilities, N x classes.

    Args:
        logits: one N x classes tensor a teacher.
        weights: one non-negative number a teacher; only their ratios matter.
        temperatures: one T > 0 a teacher.
    """
    total = sum(weights)
    shares = [weight / total for weight in weights]
    softened = [
        torch.softmax(z.float() / t, dim=1) for z, t in zip(logits, temperatures, strict=True)
    ]
    return sum(share * p for share, p in zip(shares, softened, strict=True))


class SoftTargets:
    """(1 - alpha) * label loss + alpha * soft-target loss.

    Raises:
        ConfigError: temperature is not above 0, or alpha lies outside 0..1.
    """

    def __init__(self, *, temperature: float, alpha: float) -> None:
        if not temperature > 0:
            raise ConfigError(f"distillation.temperature is {temperature}; it must be above 0.")
        if not 0 <= alpha <= 1:
            raise ConfigError(f"distillation.alpha is {alpha}; it must lie in 0..1.")
        self.temperature = temperature
        self.alpha = alpha

    def __call__(self, logits: Tensor, label_loss: Tensor, targets: Tensor) -> Tensor:
        """The scalar loss of the student's logits N x classes against targets N x classes."""
        soft = soft_target_loss(logits, targets, self.temperature)
        return (1 - self.alpha) * label_loss + self.alpha * soft
