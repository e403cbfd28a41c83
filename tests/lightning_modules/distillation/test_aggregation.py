"""Several teachers as one, against numpy."""

import numpy as np
import pytest
import torch

from lightning_modules.distillation.aggregation import (
    best_weights,
    confidence_weights,
    label_losses,
)
from lightning_modules.distillation.distillation import Distillation
from lightning_modules.distillation.logit_term import SoftTargets
from lightning_modules.distillation.schema import AGGREGATIONS
from lightning_modules.distillation.teachers import Teacher
from tests.lightning_modules.distillation.test_logit_term import kl, softmax

RNG = np.random.default_rng(1)
LOGITS = RNG.normal(size=(3, 4, 5)) * 3  # three teachers, four images, five classes
LABELS = np.array([0, 4, 2, 2])
WEIGHTS = np.array([3.0, 1.0, 2.0])
TEMPERATURES = [2.0, 5.0, 1.0]
LOSSES = np.array([[-np.log(softmax(z)[n, LABELS[n]]) for n in range(4)] for z in LOGITS])


def found(aggregation, weights=WEIGHTS, labels=LABELS):
    logits = [torch.tensor(z) for z in LOGITS]
    scaled = [z / t for z, t in zip(logits, TEMPERATURES, strict=True)]
    weights = torch.tensor(weights / weights.sum())
    part = AGGREGATIONS.part(aggregation, "aggregation")
    targets = part(logits, scaled, weights, torch.tensor(labels))
    np.testing.assert_allclose(targets.sum(1), 1, rtol=1e-9)
    return targets.numpy()


def softened():
    return [softmax(z, t) for z, t in zip(LOGITS, TEMPERATURES, strict=True)]


def test_mean_probabilities():
    expected = sum(w * p for w, p in zip(WEIGHTS / 6, softened(), strict=True))
    np.testing.assert_allclose(found("mean_probabilities"), expected, rtol=1e-9)


def test_mean_logits():
    pairs = zip(WEIGHTS / 6, LOGITS, TEMPERATURES, strict=True)
    np.testing.assert_allclose(
        found("mean_logits"), softmax(sum(w * z / t for w, z, t in pairs)), rtol=1e-9
    )


def test_label_losses():
    losses = label_losses([torch.tensor(z) for z in LOGITS], torch.tensor(LABELS))
    np.testing.assert_allclose(losses, LOSSES, rtol=1e-9)
    soft = torch.eye(5, dtype=torch.float64)[LABELS]
    mixed = label_losses([torch.tensor(z) for z in LOGITS], soft)
    np.testing.assert_allclose(mixed, LOSSES, rtol=1e-9)


def test_confidence_weights_are_those_of_the_paper():
    expected = (1 - np.exp(LOSSES) / np.exp(LOSSES).sum(0)) / 2
    even = confidence_weights(torch.tensor(LOSSES), torch.ones(3, dtype=torch.float64))
    np.testing.assert_allclose(even, expected, rtol=1e-9)
    weighted = expected * WEIGHTS[:, None]
    shares = weighted / weighted.sum(0)
    target = sum(s[:, None] * p for s, p in zip(shares, softened(), strict=True))
    np.testing.assert_allclose(found("confidence_weighted"), target, rtol=1e-9)


def test_confidence_of_one_teacher_is_one():
    assert torch.equal(
        confidence_weights(torch.tensor([[9.0, 0.0]]), torch.ones(1)), torch.ones(1, 2)
    )
    hopeless = torch.tensor([[200.0], [0.0]])
    alone = confidence_weights(hopeless, torch.tensor([1.0, 0.0]))
    assert torch.equal(alone, torch.tensor([[1.0], [0.0]]))


def test_the_best_teacher_of_each_image_speaks_alone():
    best = LOSSES.argmin(0)
    expected = np.stack([softened()[best[n]][n] for n in range(4)])
    np.testing.assert_allclose(found("best_per_sample"), expected, rtol=1e-9)
    ties = best_weights(torch.zeros(3, 2), torch.tensor([0.0, 1.0, 1.0]))
    assert torch.equal(ties, torch.tensor([[0.0, 0.0], [1.0, 1.0], [0.0, 0.0]]))


def test_sum_of_losses_adds_each_teachers_own_at_its_own_temperature():
    student = RNG.normal(size=(4, 5))
    distillation = Distillation(
        temperature=4.0, alpha=0.5, terms={"soft": SoftTargets(weight=1.0)},
        aggregation="sum_of_losses",
    )  # fmt: skip
    own = [2.0, None, 1.0]
    teachers = [
        Teacher(str(n), torch.nn.Identity(), weight=w, temperature=t)
        for n, (w, t) in enumerate(zip(WEIGHTS, own, strict=True))
    ]
    losses = distillation.logit_losses(
        torch.tensor(student), [torch.tensor(z) for z in LOGITS], torch.tensor(LABELS),
        teachers=teachers, temperature=4.0,
    )  # fmt: skip
    expected = sum(
        w * t**2 * kl(softmax(z, t), softmax(student, t)).mean()
        for w, t, z in zip(WEIGHTS, [2.0, 4.0, 1.0], LOGITS, strict=True)
    )
    assert losses["soft"].item() == pytest.approx(expected, rel=1e-9)
