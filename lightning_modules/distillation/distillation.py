"""`Distillation`: which losses a student takes from its teachers, and how they are put together."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from lightning_modules.distillation.aggregation import aggregate
from lightning_modules.distillation.feature_term import FeatureTerm
from lightning_modules.distillation.logit_term import LogitTerm
from lightning_modules.distillation.schema import (
    alpha_schedule,
    augmentation_repeats_of,
    check_aggregation,
    check_term_weights,
    temperature_schedule,
)
from lightning_modules.distillation.teachers import Teacher


class Distillation:
    """(1 - alpha) * label loss + alpha * sum over terms of weight * term.

    Args:
        temperature: softens student and teachers; a number, or {schedule, from, to} over epochs.
        alpha: weight of the teachers' losses, 0..1; likewise.
        aggregation: how several teachers become one target (see `aggregation`), or `sum_of_losses`:
            each teacher's own loss, at its own temperature, times its weight, added up.
        terms: the losses, by name.
        cache: keep the teachers' logits for this many augmentations of each image; None runs them
            live.
        augmentation_repeats: live teachers, but only this many augmentations of each image.

    Raises:
        ConfigError: a setting is impossible.
    """

    def __init__(
        self,
        *,
        temperature: float | Mapping[str, Any],
        alpha: float | Mapping[str, Any],
        terms: Mapping[str, LogitTerm | FeatureTerm],
        aggregation: str = "mean_probabilities",
        cache: int | None = None,
        augmentation_repeats: int | None = None,
    ) -> None:
        self.temperature = temperature_schedule(temperature)
        self.alpha = alpha_schedule(alpha)
        check_aggregation(aggregation)
        self.term_weights = {name: term.weight for name, term in terms.items()}
        check_term_weights(self.term_weights)
        self.aggregation = aggregation
        self.augmentation_repeats = augmentation_repeats_of(cache, augmentation_repeats)
        self.cached = cache is not None
        self.logit_terms = {n: t for n, t in terms.items() if isinstance(t, LogitTerm)}
        self.feature_terms = {n: t for n, t in terms.items() if isinstance(t, FeatureTerm)}

    def weights(self, teachers: Sequence[Teacher]) -> list[float]:
        """Each teacher's weight: its own in a sum of losses, else normalized to a sum of 1."""
        weights = [teacher.weight for teacher in teachers]
        if self.aggregation == "sum_of_losses":
            return weights
        return [weight / sum(weights) for weight in weights]

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
        loss = self._sum if self.aggregation == "sum_of_losses" else self._joint
        return {
            name: loss(term, logits, teacher_logits, labels, teachers, temperature)
            for name, term in self.logit_terms.items()
        }

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
        scaled = [
            term.scaled(theirs, teacher.temperature or temperature)
            for teacher, theirs in zip(teachers, teacher_logits, strict=True)
        ]
        weights = logits.new_tensor([teacher.weight for teacher in teachers])
        targets = aggregate(self.aggregation, teacher_logits, scaled, weights, labels)
        return term(logits, targets, labels, temperature)
