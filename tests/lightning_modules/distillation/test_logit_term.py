"""Losses on logits against the papers' formulas, computed with numpy."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lightning_modules.distillation.decoupled import Decoupled, decoupled_divergence
from lightning_modules.distillation.dist import Dist, pearson_distance
from lightning_modules.distillation.logit_term import SoftTargets, normalize_logits
from lightning_modules.errors import ConfigError

RNG = np.random.default_rng(0)
STUDENT, TEACHER = RNG.normal(size=(5, 6)) * 3, RNG.normal(size=(5, 6)) * 3
LABELS = np.array([0, 3, 5, 1, 1])
TEMPERATURES = [0.5, 1.0, 4.0, 20.0]


def softmax(z, t=1.0):
    e = np.exp(z / t - (z / t).max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def kl(p, q):
    return (p * (np.log(p) - np.log(q))).sum(1)


def found(term, temperature, student=STUDENT, teacher=TEACHER):
    logits = torch.tensor(student, requires_grad=True)
    targets = torch.softmax(term.scaled(torch.tensor(teacher), temperature), dim=1)
    loss = term(logits, targets, torch.tensor(LABELS), temperature)
    loss.backward()
    assert logits.grad.isfinite().all()
    return loss.item()


@pytest.mark.parametrize("t", TEMPERATURES)
def test_soft_targets_are_t_squared_times_kl(t):
    expected = t**2 * kl(softmax(TEACHER, t), softmax(STUDENT, t)).mean()
    assert found(SoftTargets(weight=1.0), t) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("t", TEMPERATURES)
def test_standardised_soft_targets_compare_z_scores(t):
    def z(x):
        return (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True)

    np.testing.assert_allclose(normalize_logits(torch.tensor(STUDENT)), z(STUDENT), rtol=1e-6)
    expected = t**2 * kl(softmax(z(TEACHER), t), softmax(z(STUDENT), t)).mean()
    term = SoftTargets(weight=1.0, normalize_logits=True)
    assert found(term, t) == pytest.approx(expected, rel=1e-6)
    assert found(term, t, student=7 * TEACHER + 2) == pytest.approx(0, abs=1e-9)


def test_equal_logits_have_no_deviation_and_stay_equal():
    assert torch.equal(normalize_logits(torch.full((2, 3), 5.0)), torch.zeros(2, 3))


@pytest.mark.parametrize("t", TEMPERATURES)
def test_dkd_is_the_weighted_sum_of_its_two_parts(t):
    p, q = softmax(TEACHER, t), softmax(STUDENT, t)
    rows = np.arange(5)
    own_p, own_q = p[rows, LABELS], q[rows, LABELS]
    tckd = kl(np.stack([own_p, 1 - own_p], 1), np.stack([own_q, 1 - own_q], 1))
    others = np.array([[c for c in range(6) if c != label] for label in LABELS])
    hat_p = np.take_along_axis(p, others, 1) / (1 - own_p)[:, None]
    hat_q = np.take_along_axis(q, others, 1) / (1 - own_q)[:, None]
    expected = t**2 * (1.5 * tckd + 8 * kl(hat_p, hat_q)).mean()
    term = Decoupled(weight=1.0, target_weight=1.5, other_weight=8.0)
    assert found(term, t) == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("t", [1.0, 4.0])
def test_dkd_with_the_teachers_own_weights_is_plain_distillation(t):
    """KD = TCKD + (1 - p_target) NCKD (Zhao et al. 2022, eq. 6), image by image."""
    p = torch.softmax(torch.tensor(TEACHER) / t, dim=1)
    q = torch.log_softmax(torch.tensor(STUDENT) / t, dim=1)
    for n in range(5):
        row = slice(n, n + 1)
        other = 1 - p[n, LABELS[n]].item()
        labels = torch.tensor(LABELS[row])
        one = decoupled_divergence(q[row], p[row], labels, target_weight=1.0, other_weight=other)
        plain = kl(p[row].numpy(), q[row].exp().numpy())[0]
        assert one.item() == pytest.approx(plain, rel=1e-9)


def test_dkd_survives_a_teacher_and_a_student_that_are_certain():
    sure = torch.tensor([[200.0, 0.0, -30.0]], requires_grad=True)
    term = Decoupled(weight=1.0, target_weight=1.0, other_weight=8.0)
    for teacher in (torch.tensor([[300.0, 0.0, 1.0]]), torch.tensor([[0.0, 300.0, 1.0]])):
        loss = term(sure, torch.softmax(teacher, 1), torch.tensor([0]), 1.0)
        (gradient,) = torch.autograd.grad(loss, sure)
        assert loss.isfinite()
        assert gradient.isfinite().all()


def test_dkd_refuses_mixed_labels():
    term = Decoupled(weight=1.0, target_weight=1.0, other_weight=8.0)
    soft = torch.full((5, 6), 1 / 6)
    with pytest.raises(ConfigError, match=r"mixed images have two; use mixing=none"):
        term(torch.tensor(STUDENT), soft, soft, 4.0)


@pytest.mark.parametrize("t", TEMPERATURES)
def test_dist_is_pearson_of_rows_and_columns(t):
    p, q = softmax(TEACHER, t), softmax(STUDENT, t)
    inter = 1 - np.mean([np.corrcoef(p[n], q[n])[0, 1] for n in range(5)])
    intra = 1 - np.mean([np.corrcoef(p[:, c], q[:, c])[0, 1] for c in range(6)])
    term = Dist(weight=1.0, inter_weight=2.0, intra_weight=3.0)
    assert found(term, t) == pytest.approx(t**2 * (2 * inter + 3 * intra), rel=1e-6)


@given(st.floats(0.1, 10), st.floats(-5, 5))
def test_dist_does_not_see_scale_and_shift(scale, shift):
    a = torch.tensor(TEACHER)
    assert pearson_distance(a, scale * a + shift).item() == pytest.approx(0, abs=1e-9)
    assert pearson_distance(a, -scale * a + shift).item() == pytest.approx(2, abs=1e-9)


@pytest.mark.parametrize(
    "term",
    [
        SoftTargets(weight=1.0),
        SoftTargets(weight=1.0, normalize_logits=True),
        Decoupled(weight=1.0, target_weight=1.0, other_weight=8.0),
        Dist(weight=1.0, inter_weight=2.0, intra_weight=2.0),
    ],
)
def test_a_student_that_equals_its_teacher_has_nothing_to_learn(term):
    assert found(term, 4.0, student=TEACHER) == pytest.approx(0, abs=1e-12)
    assert found(term, 4.0) > 1e-3
