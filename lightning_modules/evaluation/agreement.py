"""How often a student and its teachers see the same class in an image."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_modules.distillation.aggregation import targets_of
from lightning_modules.distillation.distillation import Distillation
from lightning_modules.distillation.teachers import Teacher
from lightning_modules.evaluation.predictions import Answers, Batches, collect, evaluating


def agreement(
    student: Answers,
    teachers: Sequence[Teacher],
    batches: Batches,
    *,
    distillation: Distillation,
    device: torch.device | str = "cpu",
) -> dict[str, float]:
    """`val/agreement` with all teachers as one, and `val/agreement/<name>` with each.

    Each is the share of images for which both predict the same class, right or wrong.

    Args:
        student: what it says of the batches.
        teachers: one at least; they resize by themselves.
        batches: the validation images and labels, read once for all teachers.
        distillation: says how the teachers speak as one; its last temperature counts.
        device: where the teachers run meanwhile.
    """
    with evaluating([teacher.network for teacher in teachers], device=device):
        answers = collect(teachers, batches, device=device)
    predictions = {f"/{t.name}": a.predictions for t, a in zip(teachers, answers, strict=True)}
    predictions = {"": joint_predictions(answers, teachers, distillation), **predictions}
    shares = {n: (student.predictions == p).double().mean() for n, p in predictions.items()}
    return {f"val/agreement{name}": share.item() for name, share in shares.items()}


def joint_predictions(
    answers: Sequence[Answers], teachers: Sequence[Teacher], distillation: Distillation
) -> Tensor:
    """The class, int64 N, that the aggregation of the teachers' softened logits favours.

    In a `sum_of_losses` the student's optimum is the weighted mean of their probabilities.
    """
    kind, last = distillation.aggregation, distillation.temperature.at(1, 2)
    logits = [answer.logits for answer in answers]
    scaled = [z / (t.temperature or last) for z, t in zip(logits, teachers, strict=True)]
    weights = torch.tensor([teacher.weight for teacher in teachers], dtype=torch.float32)
    kind = "mean_probabilities" if kind == "sum_of_losses" else kind
    return targets_of(kind, logits, scaled, weights, answers[0].labels).argmax(dim=1)
