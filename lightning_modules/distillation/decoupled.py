"""Decoupled knowledge distillation (DKD): the labelled class and the other classes apart."""

import torch
from torch import Tensor

from lightning_modules.distillation.logit_term import LogitTerm
from lightning_modules.distillation.term_settings import DecoupledSettings
from lightning_modules.errors import ConfigError


def decoupled_divergence(
    log_student: Tensor,
    targets: Tensor,
    labels: Tensor,
    *,
    target_weight: float,
    other_weight: float,
) -> Tensor:
    """target_weight * TCKD + other_weight * NCKD, the mean over images (Zhao et al. 2022, eq. 7).

    TCKD is the KL divergence of (labelled class, all others together), NCKD that among the other
    classes, each side's probabilities scaled to sum to 1 there.

    Args:
        log_student: the student's log-probabilities, N x C.
        targets: probabilities N x C that sum to 1.
        labels: class indices N.
    """
    # A sure teacher's other probabilities may be 0 in floating point.
    log_targets = targets.clamp_min(torch.finfo(targets.dtype).tiny).log()
    binary_student, others_student = _split(log_student, labels)
    binary_teacher, others_teacher = _split(log_targets, labels)
    return (
        target_weight * _kl(binary_teacher, binary_student)
        + other_weight * _kl(others_teacher, others_student)
    ).mean()


def _split(log_probabilities: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities of (labelled, all others) N x 2, and N x C among the others."""
    labelled = labels[:, None]
    # A large negative number takes a class out of a softmax; -inf would make its gradient NaN.
    others = log_probabilities.scatter(1, labelled, -1e4)
    own = log_probabilities.gather(1, labelled)
    binary = torch.cat([own, others.logsumexp(dim=1, keepdim=True)], dim=1)
    return binary, torch.log_softmax(others, dim=1)


def _kl(log_teacher: Tensor, log_student: Tensor) -> Tensor:
    return (log_teacher.exp() * (log_teacher - log_student)).sum(dim=1)


class Decoupled(DecoupledSettings, LogitTerm):
    """T^2 (target_weight * TCKD + other_weight * NCKD)."""

    def divergence(self, log_student: Tensor, targets: Tensor, labels: Tensor) -> Tensor:
        """TCKD and NCKD, weighted; mixed labels are refused."""
        if labels.is_floating_point():
            raise ConfigError(
                "DKD sets one labelled class apart, and mixed images have two; use mixing=none, or "
                "another distillation than dkd."
            )
        return decoupled_divergence(
            log_student,
            targets,
            labels,
            target_weight=self.target_weight,
            other_weight=self.other_weight,
        )
