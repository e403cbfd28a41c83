"""The scan of losses, against divergences computed by hand; and what lies between its points."""

import copy
from dataclasses import replace
from typing import ClassVar

import pytest
import torch
from torch import nn

from compression import Context, compress
from compression.errors import CompressionError
from compression.factorization.tucker import Tucker
from compression.layer_moments import InputMoments
from compression.pruning.prune import Prune
from compression.sensitivity import LossCurves, LossPoint, scan_key, scan_losses
from compression.sensitivity.loss_scan import LogitDivergence, training_images

SIZE = (8, 8)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 24, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(24, 3),
    ).eval()


@pytest.fixture
def images():
    return torch.rand(40, 3, *SIZE, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def context(images):
    labels = torch.zeros(len(images), dtype=torch.int64)
    batches = [(images[:24], labels[:24]), (images[24:], labels[24:])]

    def refuse():
        raise AssertionError("validation images are to stay unseen")

    return Context(
        sample=images[:2], image_size=SIZE, train_batches=lambda: batches, val_batches=refuse
    )


def logits_of(network, images):
    """The only modules that training mode changes are those of BatchNorm."""
    with torch.no_grad():
        return copy.deepcopy(network).train()(images).double()


def by_hand(entering, treated):
    """Sum over classes of p log(p / q), the mean of the images."""
    p, q = entering.softmax(1), treated.softmax(1)
    return float((p * (p / q).log()).sum(1).mean())


def test_a_factorised_and_a_cut_layer_by_hand(network, context, images):
    entering = logits_of(network, images)
    for step, ratio in ((Tucker(), 0.25), (Prune(round_to=1), 0.5)):
        treatments = step.treatments(network, context, (ratio,))
        points = scan_losses(step, treatments, network, context)
        assert [(p.layer, p.ratio) for p in points] == [(t.layer, t.ratio) for t in treatments]
        for point, treatment in zip(points, treatments, strict=True):
            treated = logits_of(step.apply(network, treatment.plan(), context), images)
            assert point.loss == pytest.approx(by_hand(entering, treated), rel=1e-4)
            assert point.loss > 1e-6


class Fitted(Tucker):
    """Its fitted weights are those of the layer itself: nothing is lost."""

    fit_settings: ClassVar[tuple[str, ...]] = ("energy",)

    def fit_weights(self, network, smaller, plan, context):
        for name in plan["layers"]:
            smaller.set_submodule(name, copy.deepcopy(network.get_submodule(name)))


def test_the_treatment_that_will_be_done_is_judged(network, context, tmp_path):
    step = Fitted()
    context = replace(context, scans=tmp_path)
    treatments = step.treatments(network, context, (0.5,))
    blind = scan_losses(step, treatments, network, context)
    moments = InputMoments(network, context.train_batches)
    fitted = replace(context, moments=moments)
    # The weights of another way are not looked up.
    assert all(point.loss == 0 for point in scan_losses(step, treatments, network, fitted))
    assert all(point.loss > 0 for point in blind)
    keys = {scan_key(Fitted(energy=e), network, c) for e in (0.5, 0.9) for c in (context, fitted)}
    assert len(keys) == 3


def test_what_was_found_is_only_read(network, context, tmp_path, monkeypatch):
    step, context = Tucker(), replace(context, scans=tmp_path)
    treatments = step.treatments(network, context, (0.25, 0.5))
    found = scan_losses(step, treatments, network, context)
    monkeypatch.setattr(Tucker, "apply", None)
    assert scan_losses(step, treatments, network, context) == found


@pytest.mark.parametrize(
    ("count", "sizes"), [(1, [1]), (64, [64]), (65, [33, 32]), (130, [44, 43, 43])]
)
def test_no_batch_is_a_small_rest(network, count, sizes):
    """BatchNorm goes by each of them, but by its own statistics where there is but one image."""
    images = torch.rand(count, 3, *SIZE)
    context = Context(sample=images[:1], image_size=SIZE, train_batches=lambda: [(images, None)])
    batches = training_images(Tucker(), network, context)
    assert [len(batch) for batch in batches] == sizes
    before = copy.deepcopy(network.state_dict())
    divergence, other = LogitDivergence(network, batches), copy.deepcopy(network)
    assert divergence(other) == 0
    other[3].weight.data *= 2
    assert divergence(other) > 0
    assert all(torch.equal(before[name], v) for name, v in network.state_dict().items())
    shifted = copy.deepcopy(network)
    shifted[1].running_mean += 5
    assert (divergence(shifted) == 0) is (count > 1)


def test_there_must_be_images(network, context):
    bare = Context(sample=context.sample, image_size=SIZE)
    with pytest.raises(
        CompressionError, match=r"tucker weighs .* training images, .* give batches="
    ):
        scan_losses(Tucker(), [], network, bare)


def test_images_that_are_damaged_are_no_target_out_of_reach(network, images):
    images[3] = torch.nan
    batches = [(images, torch.zeros(len(images), dtype=torch.int64))]
    step = Prune(ratios="optimal", target={"macs": 0.6}, importance="l2")
    with pytest.raises(CompressionError, match="logits are not all finite .* images are damaged"):
        compress(network, [step], sample=images, batches=batches)


def test_logits_that_are_no_numbers_leave_a_point_out(network, context):
    class Broken(Tucker):
        def fit_weights(self, network, smaller, plan, context):
            next(smaller.parameters()).fill_(torch.nan)

    moments = InputMoments(network, context.train_batches)
    context = replace(context, moments=moments)
    step = Broken()
    assert scan_losses(step, step.treatments(network, context, (0.5,)), network, context) == []


def test_roots_of_losses_are_interpolated():
    points = [
        LossPoint(layer="a", ratio=r, kept=r, what="", loss=loss)
        for r, loss in ((0.25, 0.16), (0.5, 0.04))
    ]
    curves = LossCurves(points)
    assert curves.loss("a", 0.25) == pytest.approx(0.16, abs=1e-5)
    assert curves.loss("a", 0.375) == pytest.approx(0.3**2, abs=1e-5)
    assert curves.loss("a", 0.75) == pytest.approx(0.1**2, abs=1e-5)
    assert curves.loss("a", 1) == curves.loss("b", 1) == 0
    # Less is never better than more: that is chance.
    lucky = LossCurves([*points, LossPoint(layer="a", ratio=0.1, kept=0.1, what="", loss=0.01)])
    assert lucky.loss("a", 0.1) == pytest.approx(0.16, abs=1e-5)
    free = LossCurves([replace(p, loss=0.0) for p in points])
    assert 0 < free.loss("a", 0.5) < free.loss("a", 0.25) < 1e-5
    assert curves.loss("a", 0.2) == curves.loss("b", 0.9) == float("inf")
