"""Losses on inner outputs against the papers' formulas, computed with numpy in plain loops."""

from itertools import product

import numpy as np
import pytest
import torch
from torch import nn

from lightning_modules.distillation.attention import Attention, attention_loss
from lightning_modules.distillation.feature_term import projection, same_size
from lightning_modules.distillation.hints import Hints, Residuals, hint_loss, residual_loss
from lightning_modules.distillation.relational import (
    Relational,
    Similarity,
    angles,
    relational_loss,
    similarity_loss,
)
from lightning_modules.errors import ConfigError

RNG = np.random.default_rng(0)
STUDENT, TEACHER = RNG.normal(size=(4, 3, 5, 6)), RNG.normal(size=(4, 7, 5, 6))


def test_hints_are_half_the_mean_square():
    other = RNG.normal(size=STUDENT.shape)
    expected = 0.5 * ((STUDENT - other) ** 2).mean()
    assert hint_loss(torch.tensor(STUDENT), torch.tensor(other)).item() == pytest.approx(expected)


def test_attention_compares_unit_maps_of_squares():
    def unit(x):
        q = np.array(
            [[sum(x[n, :, i, j] ** 2) for i in range(5) for j in range(6)] for n in range(4)]
        )
        return q / np.linalg.norm(q, axis=1, keepdims=True)

    expected = ((unit(STUDENT) - unit(TEACHER)) ** 2).mean()
    found = attention_loss(torch.tensor(STUDENT), torch.tensor(TEACHER))
    assert found.item() == pytest.approx(expected, rel=1e-9)
    assert attention_loss(torch.tensor(TEACHER), torch.tensor(-3 * TEACHER)).item() < 1e-12


def huber(x):
    return np.where(abs(x) < 1, 0.5 * x**2, abs(x) - 0.5)


def numpy_relations(x):
    x = x.reshape(len(x), -1)
    n = len(x)
    d = np.array([[np.linalg.norm(x[i] - x[j]) for j in range(n)] for i in range(n)])
    cosines = np.zeros((n, n, n))
    for j, i, k in product(range(n), repeat=3):
        if i != j and k != j:
            cosines[j, i, k] = (x[i] - x[j]) @ (x[k] - x[j]) / (d[i, j] * d[k, j])
    return d / (d.sum() / (n * (n - 1))), cosines


def test_relational_loss_is_huber_of_distances_and_angles():
    (d_s, a_s), (d_t, a_t) = numpy_relations(STUDENT), numpy_relations(TEACHER)
    expected = 25 * huber(d_s - d_t).mean() + 50 * huber(a_s - a_t).mean()
    found = relational_loss(
        torch.tensor(STUDENT), torch.tensor(TEACHER), distance_weight=25.0, angle_weight=50.0
    )
    assert found.item() == pytest.approx(expected, rel=1e-9)
    np.testing.assert_allclose(angles(torch.tensor(TEACHER).flatten(1)), a_t, atol=1e-9)


def test_relations_survive_turning_scaling_and_equal_images():
    turn, _ = np.linalg.qr(RNG.normal(size=(90, 90)))
    x = torch.tensor(STUDENT.reshape(4, -1))
    weights = {"distance_weight": 25.0, "angle_weight": 50.0}
    assert relational_loss(3 * x @ torch.tensor(turn) + 1, x, **weights).item() < 1e-12
    equal = torch.zeros(4, 5, requires_grad=True)
    relational_loss(equal, x, **weights).backward()
    assert equal.grad.isfinite().all()


def test_similarity_loss_is_the_mean_square_of_normalised_products():
    def products(x):
        q = x.reshape(4, -1)
        g = np.array([[q[i] @ q[j] for j in range(4)] for i in range(4)])
        return g / np.linalg.norm(g, axis=1, keepdims=True)

    expected = ((products(TEACHER) - products(STUDENT)) ** 2).sum() / 16
    found = similarity_loss(torch.tensor(STUDENT), torch.tensor(TEACHER))
    assert found.item() == pytest.approx(expected, rel=1e-9)


def test_residual_loss_teaches_the_assistant_what_the_student_lacks():
    student = torch.tensor(STUDENT, requires_grad=True)
    assistant = torch.tensor(RNG.normal(size=STUDENT.shape), requires_grad=True)
    teacher = RNG.normal(size=STUDENT.shape)
    loss = residual_loss(student, assistant, torch.tensor(teacher))
    error = teacher - STUDENT
    second = error - assistant.detach().numpy()
    assert loss.item() == pytest.approx(0.5 * (error**2).mean() + 0.5 * (second**2).mean())
    loss.backward()
    # The error is a target: the student is drawn to the teacher only.
    np.testing.assert_allclose(student.grad, -error / error.size, rtol=1e-9)
    np.testing.assert_allclose(assistant.grad, -second / error.size, rtol=1e-9)


@pytest.mark.parametrize(
    ("student", "teacher", "kind"),
    [
        ((1, 3, 5, 5), (1, 7, 5, 5), nn.Conv2d),
        ((1, 3, 5, 5), (1, 3, 9, 9), nn.Identity),
        ((1, 3), (1, 8), nn.Linear),
        ((1, 16, 3), (1, 16, 8), nn.Linear),
    ],
)
def test_projections_bring_channels_together(student, teacher, kind):
    made = projection(torch.Size(student), torch.Size(teacher))
    assert isinstance(made, kind)
    channel = 1 if len(student) == 4 else -1
    assert made(torch.randn(2, *student[1:])).shape[channel] == teacher[channel]


@pytest.mark.parametrize("term", [Hints(weight=1.0), Residuals(weight=1.0)])
@pytest.mark.parametrize(
    ("student", "teacher", "sentence"),
    [
        ((1, 64, 4, 4), (1, 512), r"N x 64 x 4 x 4, the teacher N x 512: no projection leads"),
        ((1, 16, 8), (1, 64, 8), r"N x 16 x 8, the teacher N x 64 x 8: both need the same number"),
    ],
)
def test_shapes_that_cannot_be_projected_are_said(term, student, teacher, sentence):
    with pytest.raises(ConfigError, match=sentence):
        term.comparison(torch.Size(student), torch.Size(teacher))


def test_attention_needs_maps():
    with pytest.raises(ConfigError, match=r"N x 8, the teacher N x 4 x 2 x 2: attention"):
        Attention(weight=1.0).comparison(torch.Size((1, 8)), torch.Size((1, 4, 2, 2)))


def test_of_maps_of_different_sizes_the_larger_is_averaged():
    small, large = torch.randn(2, 3, 2, 4), torch.randn(2, 5, 4, 4)
    a, b = same_size(small, large)
    assert torch.equal(a, small)
    torch.testing.assert_close(b, large.reshape(2, 5, 2, 2, 4).mean(3))


@pytest.mark.parametrize(
    ("term", "trained"),
    [
        (Hints(weight=1.0), 2),
        (Residuals(weight=1.0), 6),
        (Attention(weight=1.0), 0),
        (Relational(weight=1.0, distance_weight=25.0, angle_weight=50.0), 0),
        (Similarity(weight=1.0), 0),
    ],
)
def test_every_term_compares_maps_of_other_channels_and_sizes(term, trained):
    student = torch.randn(4, 3, 8, 8, requires_grad=True)
    teacher = torch.randn(4, 7, 5, 5)
    comparison = term.comparison(student.shape, teacher.shape)
    loss = comparison(student, teacher)
    loss.backward()
    assert loss.ndim == 0
    assert student.grad.abs().sum() > 0
    assert len(list(comparison.parameters())) == trained
