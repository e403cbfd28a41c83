"""What holds for every loss: targets of both kinds, weights, order, extreme logits."""

import pytest
import torch
from hypothesis import given as draws
from hypothesis import settings
from hypothesis import strategies as st
from torch.nn import functional

from lightning_modules.errors import ConfigError
from lightning_modules.training.losses.arcface import ArcFace
from lightning_modules.training.losses.focal import Focal
from lightning_modules.training.losses.logit_adjustment import LogitAdjustment
from lightning_modules.training.losses.soft_f1 import F1CrossEntropy, F1Focal, SoftF1
from lightning_modules.training.losses.weighted import CrossEntropy

CLASSES = 4
COUNTS = [400, 95, 20, 0]
SCHEMES = ("none", "balanced", "sqrt", "effective_number")
KINDS = {
    "cross_entropy": CrossEntropy,
    "smoothed": lambda **s: CrossEntropy(label_smoothing=0.2, **s),
    "focal": Focal,
    "steep_focal": lambda **s: Focal(gamma=0.3, **s),
    "soft_f1": SoftF1,
    "f1_focal": F1Focal,
    "f1_cross_entropy": F1CrossEntropy,
    "logit_adjustment": LogitAdjustment,
    "arcface": ArcFace,
}


def make(kind, scheme="none", counts=COUNTS):
    return KINDS[kind](class_weights=scheme, class_counts=counts)


@st.composite
def batches(draw):
    """Logits N x 4 and labels of the three classes that have training images."""
    size = draw(st.integers(1, 9))
    seed = draw(st.integers(0, 2**32 - 1))
    generator = torch.Generator().manual_seed(seed)
    scale = draw(st.sampled_from([0.1, 1.0, 15.0]))
    logits = scale * (2 * torch.rand(size, CLASSES, generator=generator) - 1)
    return logits, torch.randint(0, 3, (size,), generator=generator)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("kind", KINDS)
@draws(batch=batches())
@settings(max_examples=25, deadline=None)
def test_one_hot_targets_equal_hard_ones(kind, scheme, batch):
    logits, labels = batch
    loss = make(kind, scheme)
    soft = functional.one_hot(labels, CLASSES).float()
    hard = loss(logits, labels)
    assert hard.ndim == 0
    assert hard.isfinite()
    assert torch.equal(hard, loss(logits, soft))
    torch.testing.assert_close(hard, loss(logits, soft.double()))


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("kind", KINDS)
@draws(batch=batches(), seed=st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_order_of_images_and_of_classes_does_not_matter(kind, scheme, batch, seed):
    logits, labels = batch
    generator = torch.Generator().manual_seed(seed)
    expected = make(kind, scheme)(logits, labels)
    images = torch.randperm(len(labels), generator=generator)
    found = make(kind, scheme)(logits[images], labels[images])
    torch.testing.assert_close(found, expected)

    classes = torch.randperm(CLASSES, generator=generator)  # new class c was classes[c]
    moved = make(kind, scheme, [COUNTS[c] for c in classes])
    found = moved(logits[:, classes], classes.argsort()[labels])
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_extreme_logits_have_finite_gradients(kind, scheme, dtype):
    rows = [[1e4, -1e4, 0, 0], [-1e4, 1e4, 1e4, 0], [0, 0, 0, 0], [1e4, 1e4, 1e4, 1e4]]
    for labels in (
        torch.tensor([0, 0, 1, 2]),
        torch.tensor([1, 2, 0, 0]),
        torch.full((4, 4), 0.25),
    ):
        logits = torch.tensor(rows, dtype=dtype, requires_grad=True)
        half = dtype if dtype is not torch.float32 else torch.bfloat16
        with torch.autocast("cpu", dtype=half, enabled=dtype is not torch.float32):
            value = make(kind, scheme)(logits, labels)
        value.backward()
        assert value.dtype == torch.float32
        assert value.isfinite()
        assert logits.grad.isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_of_classes_without_weight_is_worth_nothing(kind):
    logits = torch.randn(3, CLASSES, requires_grad=True)
    loss = make(kind, "balanced")(logits, torch.tensor([3, 3, 3]))
    loss.backward()
    assert loss == 0
    assert (logits.grad == 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_small_steps_against_the_gradient_lower_every_loss(kind):
    torch.manual_seed(0)
    logits = torch.randn(8, CLASSES, requires_grad=True)
    soft = torch.softmax(3 * torch.randn(8, CLASSES), 1)
    for targets in (torch.arange(8) % 3, soft):
        value = make(kind, "sqrt")(logits, targets)
        (slope,) = torch.autograd.grad(value, logits)
        assert make(kind, "sqrt")(logits - 1e-2 * slope, targets) < value
        check = make(kind, "sqrt")
        step = 1e-2 * torch.randn_like(logits)
        numeric = (check(logits + step, targets) - check(logits - step, targets)) / 2
        torch.testing.assert_close((slope * step).sum(), numeric, rtol=0.02, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_follow_the_logits_to_their_device(kind):
    logits, targets = torch.zeros(2, CLASSES, device="meta"), torch.zeros(2, CLASSES, device="meta")
    assert make(kind, "balanced")(logits, targets).is_meta


@pytest.mark.parametrize("kind", KINDS)
def test_weights_and_counts_stay_out_of_the_checkpoint(kind):
    assert not make(kind, "balanced").state_dict()


@pytest.mark.parametrize(
    ("kind", "given", "sentence"),
    [
        (CrossEntropy, {"class_weights": "rare"}, "=rare does not exist; there are none, balanced"),
        (CrossEntropy, {"class_weights": "balanced"}, "class_weights=balanced needs class_counts"),
        (CrossEntropy, {"label_smoothing": 1.5}, "label_smoothing=1.5 .* must be in 0..1"),
        (CrossEntropy, {"beta": 1}, "loss.beta=1 is not allowed"),
        (Focal, {"gamma": -1}, "loss.gamma=-1 is not allowed; it must be at least 0"),
        (Focal, {"gamma": "two"}, "loss.gamma=two is not allowed"),
        (LogitAdjustment, {"tau": -0.5, "class_counts": [1, 2]}, "loss.tau=-0.5 is not allowed"),
        (LogitAdjustment, {}, "logit adjustment needs class_counts"),
        (ArcFace, {"margin": -0.1}, "loss.margin=-0.1 is not allowed"),
        (ArcFace, {"scale": 0}, "loss.scale=0 is not allowed; it must be above 0"),
        (F1Focal, {"focal_weight": -1}, "loss.focal_weight=-1 is not allowed"),
        (F1CrossEntropy, {"f1_weight": float("nan")}, "loss.f1_weight=nan is not allowed"),
    ],
)
def test_impossible_settings_are_refused(kind, given, sentence):
    with pytest.raises(ConfigError, match=sentence):
        kind(**given)
