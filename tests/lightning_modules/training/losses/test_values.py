"""Each loss against values computed another way: by torch, torchvision, torchmetrics, numpy."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torchmetrics.functional.classification import multiclass_f1_score
from torchvision.ops import sigmoid_focal_loss

from datamodules.loading import class_weights
from lightning_modules.training.losses.arcface import ArcFace
from lightning_modules.training.losses.focal import Focal
from lightning_modules.training.losses.logit_adjustment import LogitAdjustment
from lightning_modules.training.losses.soft_f1 import F1CrossEntropy, F1Focal, SoftF1
from lightning_modules.training.losses.weighted import CrossEntropy

COUNTS = [400, 95, 20]
SCHEMES = ("none", "balanced", "sqrt", "effective_number")
RNG = np.random.default_rng(0)
LOGITS = torch.tensor(RNG.normal(0, 2, (16, 3)), dtype=torch.float32)
LABELS = torch.tensor(RNG.integers(0, 3, 16))
SOFT = torch.tensor(RNG.dirichlet([0.5] * 3, 16), dtype=torch.float32)


def softmax(z):
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_is_torchs_with_the_same_weights(scheme, smoothing):
    weights = torch.tensor(class_weights(COUNTS, scheme, 0.99))
    expected = nn.CrossEntropyLoss(weight=weights, label_smoothing=smoothing)(LOGITS, LABELS)
    settings = {"class_weights": scheme, "beta": 0.99, "class_counts": COUNTS}
    found = CrossEntropy(label_smoothing=smoothing, **settings)(LOGITS, LABELS)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_of_soft_targets_is_torchs(smoothing):
    expected = nn.CrossEntropyLoss(label_smoothing=smoothing)(LOGITS, SOFT)
    torch.testing.assert_close(CrossEntropy(label_smoothing=smoothing)(LOGITS, SOFT), expected)


def test_weighted_soft_targets_are_divided_by_their_weight():
    weights = np.array(class_weights(COUNTS, "balanced"))
    terms = -np.log(softmax(LOGITS.numpy()))
    targets = SOFT.numpy()
    expected = (weights * targets * terms).sum() / (weights * targets).sum()
    found = CrossEntropy(class_weights="balanced", class_counts=COUNTS)(LOGITS, SOFT)
    assert found.item() == pytest.approx(expected, rel=1e-5)
    # Two mixed images are worth what the four halves are.
    halves = torch.cat([LOGITS[:2], LOGITS[:2]])
    mixed = 0.5 * functional.one_hot(torch.tensor([0, 1]), 3) + 0.5 * functional.one_hot(
        torch.tensor([2, 2]), 3
    )
    loss = CrossEntropy(class_weights="balanced", class_counts=COUNTS)
    torch.testing.assert_close(loss(LOGITS[:2], mixed), loss(halves, torch.tensor([0, 1, 2, 2])))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 5.0])
def test_focal_of_two_classes_is_torchvisions(gamma):
    x = torch.linspace(-8, 8, 33)
    labels = torch.arange(33) % 2
    expected = sigmoid_focal_loss(x, labels.float(), alpha=-1, gamma=gamma, reduction="mean")
    found = Focal(gamma=gamma)(torch.stack([torch.zeros(33), x], dim=1), labels)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_focal_by_hand(scheme):
    weights = np.array(class_weights(COUNTS, scheme))[LABELS.numpy()]
    p = softmax(LOGITS.double().numpy())[np.arange(16), LABELS.numpy()]
    expected = (weights * (1 - p) ** 1.5 * -np.log(p)).sum() / weights.sum()
    found = Focal(gamma=1.5, class_weights=scheme, class_counts=COUNTS)(LOGITS, LABELS)
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_gamma_0_is_cross_entropy():
    torch.testing.assert_close(Focal(gamma=0.0)(LOGITS, SOFT), CrossEntropy()(LOGITS, SOFT))


def test_soft_f1_by_hand():
    p, t = softmax(LOGITS.double().numpy()), np.eye(3)[LABELS.numpy()]
    tp, fp, fn = (p * t).sum(0), (p * (1 - t)).sum(0), ((1 - p) * t).sum(0)
    f1 = 2 * tp / (2 * tp + fp + fn)
    assert SoftF1()(LOGITS, LABELS).item() == pytest.approx(1 - f1.mean(), rel=1e-5)
    weights = np.array(class_weights(COUNTS, "sqrt"))
    expected = (weights * (1 - f1)).sum() / weights.sum()
    found = SoftF1(class_weights="sqrt", class_counts=COUNTS)(LOGITS, LABELS)
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_soft_f1_of_sure_predictions_is_1_minus_f1():
    expected = 1 - multiclass_f1_score(LOGITS, LABELS, num_classes=3, average="macro")
    distances = [
        abs((SoftF1()(sharpness * LOGITS, LABELS) - expected).item()) for sharpness in (1, 10, 1000)
    ]
    assert distances[0] > distances[1] > distances[2]
    assert distances[2] < 1e-6


def test_soft_f1_counts_the_classes_that_the_batch_has():
    logits, labels = torch.tensor([[9.0, 0, 0], [0, 9.0, 0]]), torch.tensor([0, 1])
    p = softmax(logits.double().numpy())
    f1 = [2 * p[c, c] / (p[:, c].sum() + 1) for c in (0, 1)]
    assert SoftF1()(logits, labels).item() == pytest.approx(1 - np.mean(f1), rel=1e-4)


def test_soft_f1_of_soft_targets_is_least_at_the_targets():
    at_targets = SOFT.clamp_min(1e-9).log()
    assert SoftF1()(at_targets, SOFT) == pytest.approx(0, abs=1e-6)
    assert SoftF1()(10 * at_targets, SOFT) > 0.05
    assert SoftF1()(0.1 * at_targets, SOFT) > 0.05


@pytest.mark.parametrize("kind", [F1Focal, F1CrossEntropy])
def test_sums_are_the_sums_of_their_parts(kind):
    settings = {"class_weights": "balanced", "class_counts": COUNTS}
    if kind is F1Focal:
        other, given = Focal(gamma=1.0, **settings), {"gamma": 1.0, "focal_weight": 0.25}
    else:
        other, given = CrossEntropy(label_smoothing=0.1, **settings), {"cross_entropy_weight": 0.25}
        given["label_smoothing"] = 0.1
    for targets in (LABELS, SOFT):
        expected = 3 * SoftF1(**settings)(LOGITS, targets) + 0.25 * other(LOGITS, targets)
        found = kind(f1_weight=3.0, **given, **settings)(LOGITS, targets)
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0])
def test_logit_adjustment_is_the_papers_pairwise_form(tau):
    prior, z = np.array(COUNTS) / sum(COUNTS), LOGITS.double().numpy()
    expected = np.mean([
        math.log(sum((prior[c] / prior[y]) ** tau * math.exp(z[n, c] - z[n, y]) for c in range(3)))
        for n, y in enumerate(LABELS.tolist())
    ])  # fmt: skip
    found = LogitAdjustment(tau=tau, class_counts=COUNTS)(LOGITS, LABELS)
    assert found.item() == pytest.approx(expected, rel=1e-5)


def arcface_by_hand(cosine, targets, margin, scale):
    """Angles by arccos, one image and class at a time."""
    total = 0
    for row, share in zip(cosine, targets, strict=True):
        angles = [math.acos(c) + margin * t for c, t in zip(row, share, strict=True)]
        z = [
            scale * (math.cos(a) if a <= math.pi else c - margin * t * math.sin(margin * t))
            for a, c, t in zip(angles, row, share, strict=True)
        ]
        total -= sum(
            t * (v - math.log(sum(map(math.exp, z)))) for t, v in zip(share, z, strict=True)
        )
    return total / len(cosine)


@pytest.mark.parametrize(
    "targets", [functional.one_hot(LABELS, 3).float(), SOFT], ids=["hard", "soft"]
)
def test_arcface_by_hand(targets):
    cosine = RNG.uniform(-0.99, 0.99, (16, 3))
    cosine[:3] = -0.99  # where angle and margin pass pi
    expected = arcface_by_hand(cosine, targets.tolist(), 0.5, 8.0)
    logits = torch.tensor(8.0 * cosine, dtype=torch.float32)
    found = ArcFace(margin=0.5, scale=8.0)(logits, targets)
    assert found.item() == pytest.approx(expected, rel=1e-4)


def test_arcface_without_margin_is_cross_entropy_of_the_scaled_cosines():
    logits = 8.0 * torch.tensor(RNG.uniform(-0.99, 0.99, (16, 3)), dtype=torch.float32)
    for targets in (LABELS, SOFT):
        found = ArcFace(margin=0.0, scale=8.0)(logits, targets)
        torch.testing.assert_close(found, CrossEntropy()(logits, targets))


def test_the_margin_makes_the_loss_larger_and_falls_all_the_way():
    angles = torch.linspace(0.01, math.pi - 0.01, 50)
    logits = 16 * torch.stack([angles.cos(), torch.zeros(50)], dim=1)
    hard = torch.zeros(1, dtype=torch.int64)
    losses = torch.stack([ArcFace(margin=0.5)(z[None], hard) for z in logits])
    plain = torch.stack([CrossEntropy()(z[None], hard) for z in logits])
    assert (losses > plain).all()
    assert (losses.diff() > 0).all()  # the further away, the worse
