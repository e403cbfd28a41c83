"""`LogitTerm`: a distillation loss on the logits of student and teachers."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from lightning_modules.distillation.logit_normalization import standardise


class LogitTerm(ABC):
    """A loss between the student's logits and probabilities that stand for the teachers.

    Args:
        weight: of this term in the sum of all terms.
        standardised: compare z-scores of the logits (Sun et al. 2024), on both sides.
    """

    def __init__(self, *, weight: float, standardised: bool = False) -> None:
        self.weight = weight
        self.standardised = standardised

    def scaled(self, logits: Tensor, temperature: float) -> Tensor:
        """Logits N x C as they go into the softmax, of student and teachers alike."""
        return (standardise(logits) if self.standardised else logits) / temperature

    def __call__(
        self, logits: Tensor, targets: Tensor, labels: Tensor, temperature: float
    ) -> Tensor:
        """The scalar loss, without its weight.

        Args:
            logits: the student's, N x C.
            targets: probabilities N x C made from the teachers' scaled logits.
            labels: class indices N, or probabilities N x C after images were mixed.
            temperature: T > 0.
        """
        log_student = torch.log_softmax(self.scaled(logits, temperature), dim=1)
        return temperature**2 * self.divergence(log_student, targets, labels)

    @abstractmethod
    def divergence(self, log_student: Tensor, targets: Tensor, labels: Tensor) -> Tensor:
        """The scalar loss for log-probabilities N x C of the student, softened already.

        It is multiplied by T^2, which keeps its gradient's size the same for every T.
        """
