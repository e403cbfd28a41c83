"""How often a student and its teachers see the same class in an image."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_modules.distillation import Distillation, Teacher
from lightning_modules.evaluation.predictions import Batches, Predictions, evaluating, predict_each


def teacher_agreement(
    student: Predictions,
    teachers: Sequence[Teacher],
    batches: Batches,
    *,
    distillation: Distillation,
    device: torch.device | str = "cpu",
) -> dict[str, float]:
    """`val/agreement` with all teachers as one, and `val/agreement/<name>` with each.

    Each is the share of images for which both predict the same class, right or wrong.

    Args:
        student: its predictions of the batches.
        teachers: one at least; they resize by themselves.
        batches: the validation images (uint8 N x 3 x H x W) and labels, read once for all teachers.
        distillation: says how the teachers' logits become one; its last temperature counts.
        device: where the teachers run meanwhile.
    """
    with evaluating([teacher.network for teacher in teachers], device=device):
        predictions = predict_each(teachers, batches, device=device)
    classes = {"": joint_classes(predictions, teachers, distillation)}
    for teacher, theirs in zip(teachers, predictions, strict=True):
        classes[f"/{teacher.name}"] = theirs.classes
    return {
        f"val/agreement{name}": (student.classes == theirs).double().mean().item()
        for name, theirs in classes.items()
    }


def joint_classes(
    predictions: Sequence[Predictions], teachers: Sequence[Teacher], distillation: Distillation
) -> Tensor:
    """The class, int64 N, that the aggregation of the teachers' softened logits favours.

    In a `sum_of_losses` the student's optimum is the weighted mean of their probabilities.
    """
    return distillation.joint_targets(
        [theirs.logits for theirs in predictions],
        predictions[0].labels,
        teachers=teachers,
        temperature=distillation.temperature.at(1, 2),
    ).argmax(dim=1)
