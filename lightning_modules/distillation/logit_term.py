"""`LogitTerm`: a distillation loss on the logits of student and teachers; soft targets are one."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.nn import functional

from lightning_modules.distillation.term_settings import LogitTermSettings


class LogitTerm(LogitTermSettings, ABC):
    """A loss between the student's logits and probabilities that stand for the teachers.

    A term of one's own derives from this and has `divergence`.
    """

    def scaled(self, logits: Tensor, temperature: float) -> Tensor:
        """Logits N x C as they go into the softmax, of student and teachers alike."""
        return (normalize_logits(logits) if self.normalize_logits else logits) / temperature

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


def normalize_logits(logits: Tensor) -> Tensor:
    """Z-scores: each image's logits N x C, with mean 0 and (population) deviation 1.

    A small student cannot reach the range of a large teacher's logits and need not (Sun et al.
    2024, algorithm 1). Equal logits of an image stay equal: 0.
    """
    centred = logits - logits.mean(dim=1, keepdim=True)
    return centred / (centred.square().mean(dim=1, keepdim=True).sqrt() + 1e-7)


def soft_target_divergence(log_student: Tensor, targets: Tensor) -> Tensor:
    """KL(targets || student), the mean over images (Hinton et al. 2015, section 2).

    Args:
        log_student: the student's log-probabilities, N x C.
        targets: probabilities N x C that sum to 1.
    """
    return functional.kl_div(log_student, targets, reduction="batchmean")


class SoftTargets(LogitTerm):
    """T^2 KL(teachers || student)."""

    def divergence(self, log_student: Tensor, targets: Tensor, labels: Tensor) -> Tensor:
        """KL(targets || student); the labels are not looked at."""
        return soft_target_divergence(log_student, targets)
