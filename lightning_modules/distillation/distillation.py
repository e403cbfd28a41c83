"""`Distillation`: which losses a student takes from its teachers, and how they are put together."""

from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any

import torch
from torch import Tensor

from lightning_modules.distillation.feature_term import FeatureTerm
from lightning_modules.distillation.logit_term import LogitTerm
from lightning_modules.distillation.schema import (
    AGGREGATIONS,
    DistillationSettings,
    check_term_weights,
)
from lightning_modules.distillation.teachers import Teacher
from lightning_modules.distillation.term_settings import build_term
from lightning_modules.errors import USER_ERRORS, ConfigError


class Distillation(DistillationSettings):
    """(1 - alpha) * label loss + alpha * sum over terms of weight * term.

    Args:
        temperature: softens student and teachers; a number, or {schedule, from, to} over epochs.
        alpha: weight of the teachers' losses, 0..1; likewise.
        terms: the losses, by name: each a registered name, a node with a `_target_`, or a term.
        aggregation: how several teachers become one target, likewise (see `aggregation`).
        cache: keep the teachers' logits for this many augmentations of each image; None runs them
            live.
        augmentation_repeats: live teachers, but only this many augmentations of each image.

    Raises:
        ConfigError: a setting is impossible.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        key = "distillation.aggregation"
        self.aggregation = AGGREGATIONS.part(self.aggregation, key)
        self.sums_losses = getattr(self.aggregation, "sums_losses", False)
        terms = {n: build_term(t, f"distillation.terms.{n}") for n, t in self.terms.items()}
        check_term_weights(terms)
        self.terms = terms
        self.term_weights = {name: term.weight for name, term in terms.items()}
        self.cached = self.cache is not None
        self.augmentation_repeats = self.cache or self.augmentation_repeats
        self.logit_terms = {n: t for n, t in terms.items() if isinstance(t, LogitTerm)}
        self.feature_terms = {n: t for n, t in terms.items() if isinstance(t, FeatureTerm)}

    def weights(self, teachers: Sequence[Teacher]) -> list[float]:
        """Each teacher's weight: its own in a sum of losses, else normalized to a sum of 1."""
        weights = [teacher.weight for teacher in teachers]
        return weights if self.sums_losses else [weight / sum(weights) for weight in weights]

    def logit_losses(
        self,
        logits: Tensor,
        teacher_logits: Sequence[Tensor],
        labels: Tensor,
        *,
        teachers: Sequence[Teacher],
        temperature: float,
    ) -> dict[str, Tensor]:
        """Each logit term's scalar loss, without the term's weight.

        Args:
            logits: the student's, N x C.
            teacher_logits: one N x C tensor a teacher.
            labels: class indices N, or probabilities N x C.
            teachers: whose logits these are, in this order.
            temperature: of the epoch; a teacher's own wins.
        """
        loss = self._sum if self.sums_losses else self._joint
        return {
            name: loss(term, logits, teacher_logits, labels, teachers, temperature)
            for name, term in self.logit_terms.items()
        }

    def joint_targets(
        self,
        teacher_logits: Sequence[Tensor],
        labels: Tensor,
        *,
        teachers: Sequence[Teacher],
        temperature: float,
        scale: Callable[[Tensor, float], Tensor] = torch.div,
    ) -> Tensor:
        """What the aggregation makes of all teachers, probabilities N x C.

        Args:
            teacher_logits: one N x C tensor a teacher.
            labels: class indices N, or probabilities N x C.
            teachers: whose logits these are, in this order.
            temperature: of the epoch; a teacher's own wins.
            scale: makes of logits and a temperature what goes into the softmax.
        """
        scaled = [
            scale(theirs, teacher.temperature or temperature)
            for teacher, theirs in zip(teachers, teacher_logits, strict=True)
        ]
        weights = teacher_logits[0].new_tensor([teacher.weight for teacher in teachers])
        return self.aggregation(teacher_logits, scaled, weights / weights.sum(), labels)

    def try_out(self, classes: int, *, mixed: bool) -> None:
        """Computes the losses on logits of two images, as a term of one's own may be mistaken.

        Args:
            classes: C of the data.
            mixed: whether labels are probabilities N x C, as those of mixed images.

        Raises:
            ConfigError: something fails, the target is not N x C, or a loss is no scalar.
        """
        logits = torch.eye(2, classes)
        labels = torch.softmax(logits, dim=1) if mixed else torch.arange(2) % classes
        place, part = "distillation.aggregation", self.aggregation
        try:
            scaled = [logits / 2, logits / 3]
            found = self.aggregation([logits, -logits], scaled, torch.tensor([0.5, 0.5]), labels)
            _require_shape(found, (2, classes))
            for name, part in self.logit_terms.items():
                place = f"distillation.terms.{name}"
                _require_shape(part(logits, torch.softmax(-logits, dim=1), labels, 2.0), ())
        except USER_ERRORS:
            raise
        except Exception as error:  # whatever somebody's own code raises
            kind = part if isinstance(part, FunctionType) else type(part)
            raise ConfigError(
                f"{place}: {kind.__module__}.{kind.__qualname__} fails on two images' logits: "
                f"{' '.join(str(error).split())}."
            ) from error

    def _sum(
        self,
        term: LogitTerm,
        logits: Tensor,
        teacher_logits: Sequence[Tensor],
        labels: Tensor,
        teachers: Sequence[Teacher],
        temperature: float,
    ) -> Tensor:
        losses = torch.zeros((), device=logits.device)
        for teacher, theirs in zip(teachers, teacher_logits, strict=True):
            own = teacher.temperature or temperature
            targets = torch.softmax(term.scaled(theirs, own), dim=1)
            losses = losses + teacher.weight * term(logits, targets, labels, own)
        return losses

    def _joint(
        self,
        term: LogitTerm,
        logits: Tensor,
        teacher_logits: Sequence[Tensor],
        labels: Tensor,
        teachers: Sequence[Teacher],
        temperature: float,
    ) -> Tensor:
        targets = self.joint_targets(
            teacher_logits, labels, teachers=teachers, temperature=temperature, scale=term.scaled
        )
        return term(logits, targets, labels, temperature)


def _require_shape(found: Any, shape: tuple[int, ...]) -> None:
    if not isinstance(found, Tensor) or tuple(found.shape) != shape:
        what = "a scalar" if shape == () else "N x C"
        given = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise ValueError(f"it gives {given}, not {what}")
