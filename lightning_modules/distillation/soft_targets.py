"""Soft targets: the student imitates the teachers' softened probabilities."""

from torch import Tensor
from torch.nn import functional

from lightning_modules.distillation.logit_term import LogitTerm


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
        return soft_target_divergence(log_student, targets)
