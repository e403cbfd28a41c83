"""Products fitted to outputs of their layers, against the best there is and those of weights."""

import copy
import json

import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from compression import Context, Recipe, compress
from compression.cost.geometry import Geometry
from compression.errors import CompressionError
from compression.factorization import fitting
from compression.factorization.cp import CP, CPDecomposition
from compression.factorization.decomposition import fill
from compression.factorization.fitting import fit
from compression.factorization.kernels import kernel_of
from compression.factorization.spatial_svd import SpatialSVD, SpatialSVDDecomposition
from compression.factorization.svd import SVD, SVDDecomposition
from compression.factorization.tucker import Tucker, TuckerDecomposition
from compression.factorization.whitening import Whitening
from compression.layer_moments import InputMoments

FORMS = [SVDDecomposition, SpatialSVDDecomposition, TuckerDecomposition, CPDecomposition]
STEPS = [SVD, SpatialSVD, Tucker, CP]


def images(count=12, channels=8, side=6, rank=3, seed=0):
    """With a mean, and channels that mostly follow from `rank` of them."""
    generator = torch.Generator().manual_seed(seed)
    free = torch.randn(count, rank, side, side, generator=generator)
    mixing = torch.randn(channels, rank, generator=generator)
    noise = torch.randn(count, channels, side, side, generator=generator)
    return torch.einsum("cr,nrhw->nchw", mixing, free) + 0.1 * noise + 1.5


def layer_for(decomposition, inputs=8, outputs=10, groups=1, bias=True):
    torch.manual_seed(outputs)
    if decomposition is SVDDecomposition:
        return nn.Conv2d(inputs, outputs, 1, groups=groups, bias=bias)
    return nn.Conv2d(inputs, outputs, 3, padding=1, groups=groups, bias=bias)


def moments_of(layer, given):
    return InputMoments(nn.Sequential(layer), lambda: [(given, None)]).of(["0"])["0"]


@torch.no_grad()
def products_of(decomposition, layer, rank, moments):
    """By the weights alone, and fitted."""
    blind = decomposition.structure(Geometry.of(layer), rank)
    fill(blind, layer, decomposition, rank)
    fitted = copy.deepcopy(blind)
    fit(fitted, layer, decomposition, rank, Whitening(moments, centered=True))
    return blind, fitted


cases = given(
    decomposition=st.sampled_from(FORMS),
    inputs=st.integers(2, 5),
    outputs=st.integers(2, 5),
    groups=st.integers(1, 2),
    ratio=st.floats(0, 1),
    count=st.integers(1, 8),
)


@settings(max_examples=40, deadline=None)
@cases
@torch.no_grad()
def test_the_error_of_the_outputs_is_never_larger(
    decomposition, inputs, outputs, groups, ratio, count
):
    layer = layer_for(decomposition, inputs * groups, outputs * groups, groups)
    moments = moments_of(layer, images(count, inputs * groups, side=4))
    rank = [max(1, round(ratio * full)) for full in decomposition.max_rank(layer)]
    rank = decomposition.useful(rank, Geometry.of(layer))
    kernel = kernel_of(layer)
    blind, fitted = (
        moments.output_energy(kernel - kernel_of(product))
        for product in products_of(decomposition, layer, rank, moments)
    )
    assert fitted <= blind * (1 + 1e-4) + 1e-6 * moments.output_energy(kernel)


@settings(max_examples=30, deadline=None)
@cases
@torch.no_grad()
def test_full_rank_is_exact(decomposition, inputs, outputs, groups, ratio, count):
    layer = layer_for(decomposition, inputs * groups, outputs * groups, groups)
    given_images = images(count, inputs * groups, side=4)
    rank = decomposition.max_rank(layer)
    if decomposition is CPDecomposition:
        rank = [inputs * outputs * 9 // max(inputs, outputs, 3)]  # more than any unfolding has
    _, fitted = products_of(decomposition, layer, rank, moments_of(layer, given_images))
    torch.testing.assert_close(fitted(given_images), layer(given_images), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("sides", [(12, 5), (5, 12), (8, 8)])
@torch.no_grad()
def test_svd_is_the_best_there_is(sides):
    """The error at each rank is what the singular values of W C^1/2 leave."""
    layer = layer_for(SVDDecomposition, *sides)
    moments = moments_of(layer, images(20, sides[0]))
    whitening = Whitening(moments, centered=True)
    covariance, kernel = whitening.covariance[0], kernel_of(layer)
    root = torch.from_numpy(scipy.linalg.sqrtm(covariance.numpy()).real)
    squares = torch.linalg.svdvals(kernel[0].flatten(1) @ root).square()
    for rank in (1, 3, 5):
        _, fitted = products_of(SVDDecomposition, layer, [rank], moments)
        error = (kernel - kernel_of(fitted)).flatten(2)
        found = ((error @ covariance) * error).sum()
        torch.testing.assert_close(found, squares[rank:].sum(), rtol=1e-4, atol=1e-5)
        lost = SVDDecomposition.output_errors(kernel, covariance[None], [[rank]])
        assert lost[0] == pytest.approx((squares[rank:].sum() / squares.sum()).item(), abs=1e-9)
    (spectrum,) = SVDDecomposition.output_spectra(kernel, covariance[None])
    torch.testing.assert_close(spectrum[0], squares.sqrt()[: min(sides)], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("decomposition", FORMS[:3])
@torch.no_grad()
def test_what_is_thought_to_be_lost_is_lost(decomposition):
    """Or more: a product may find better features than those that follow from larger ranks."""
    layer = layer_for(decomposition, groups=2)
    moments = moments_of(layer, images(20))
    covariance = Whitening(moments, centered=True).covariance
    kernel = kernel_of(layer)
    energy = ((kernel.flatten(2) @ covariance) * kernel.flatten(2)).sum()
    ranks = [
        [1] * len(decomposition.max_rank(layer)),
        [n - 1 for n in decomposition.max_rank(layer)],
    ]
    thought = decomposition.output_errors(kernel, covariance, ranks)
    assert 1 > thought[0] > thought[1] >= 0
    for rank, lost in zip(ranks, thought, strict=True):
        _, fitted = products_of(decomposition, layer, rank, moments)
        error = (kernel - kernel_of(fitted)).flatten(2)
        found = ((error @ covariance) * error).sum() / energy
        assert found <= lost * (1 + 1e-4) + 1e-6
        assert decomposition is TuckerDecomposition or found == pytest.approx(lost, rel=0.2)


@pytest.mark.parametrize("decomposition", FORMS)
@torch.no_grad()
def test_a_bias_takes_up_the_mean(decomposition):
    layer = layer_for(decomposition)
    given_images = images(side=3)
    layer.padding = (0, 0)
    moments = moments_of(layer, given_images)
    rank = [2] * len(decomposition.max_rank(layer))
    _, fitted = products_of(decomposition, layer, rank, moments)
    means = (module(given_images).mean((0, 2, 3)) for module in (fitted, layer))
    torch.testing.assert_close(*means, rtol=1e-3, atol=1e-3)


def network_of(bias=False, norm=False):
    torch.manual_seed(0)
    body = [nn.Conv2d(8, 12, 1, bias=bias), *([nn.BatchNorm2d(12)] if norm else [])]
    head = [nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 3)]
    return nn.Sequential(*body, *head).eval()


def batches_of(**settings):
    return [(images(**settings), torch.zeros(len(images(**settings)), dtype=torch.int64))]


def compressed(network, step, batches):
    return compress(network, [step], sample=images(2), batches=batches)


@pytest.mark.parametrize(
    ("setting", "centered"), [({"bias": True}, True), ({"norm": True}, True), ({}, False)]
)
def test_means_count_where_nothing_takes_them_up(setting, centered):
    """Without a bias, and without a BatchNorm after it, a layer's outputs keep their mean too."""
    network = network_of(**setting)
    smaller, recipe = compressed(network, SVD(ranks={"0": 2}), batches_of())
    assert recipe.entries[0].plan["layers"]["0"]["whitened"]["centered"] is centered
    if "norm" in setting:
        return
    # Of all products of this rank it has the least error, with whatever takes up the means.
    blind = SVD(whiten=False).apply(network, recipe.entries[0].plan)
    with torch.no_grad():
        whole = network[0](images())
        found, other = ((net[0](images()) - whole).square().mean() for net in (smaller, blind))
        assert found < 0.5 * other


def test_what_the_inputs_never_show_costs_nothing():
    """Channels that follow from 3 others: rank 4 gives the outputs back, the weights' does not."""
    network = network_of(bias=True)
    given_images = images()
    whole = network[0](given_images)
    errors = []
    for whiten in (False, "auto"):
        smaller, _ = compressed(network, SVD(ranks={"0": 3}, whiten=whiten), batches_of())
        errors.append((smaller[0](given_images) - whole).var().item() / whole.var().item())
    assert errors[1] < 0.02 < 0.1 < errors[0]


@pytest.mark.parametrize("step", STEPS)
def test_plans_replay(network, sample, step):
    batches = [(sample, torch.zeros(len(sample), dtype=torch.int64))]
    for given_batches in (None, batches):
        smaller, recipe = compress(
            network, [step(ratio=0.3, include=["3", "7"][step is SVD :][:1])],
            sample=sample, batches=given_batches,
        )  # fmt: skip
        again = Recipe.from_json(recipe.to_json())
        assert again == recipe
        rebuilt = again.replay(copy.deepcopy(network).to("meta"))
        rebuilt.load_state_dict(smaller.state_dict(), assign=True)
        assert torch.equal(rebuilt(sample), smaller(sample))
        assert ("images" in recipe.entries[0].plan) == (given_batches is not None)
    # Without its images the weights that were there are all that a plan can go by.
    plan = recipe.entries[0].plan
    alone = step().apply(network, plan)
    by_weights = step(whiten=False).apply(network, {k: plan[k] for k in ("layers", "skipped")})
    for one, other in zip(alone.parameters(), by_weights.parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_plan_says_what_was_done():
    plan = compressed(network_of(bias=True), SVD(ratio=0.25), batches_of())[1].entries[0].plan
    assert json.loads(json.dumps(plan)) == plan and plan["images"] == 12
    whitened = plan["layers"]["0"]["whitened"]
    assert whitened["windows"] == 12 * 36 and whitened["inputs"] == 8
    assert 0 < whitened["ridge"] < 0.1 and whitened["centered"]
    assert SVD.describe(plan)[1] == "weights fitted to the outputs on 12 images"
    assert SVD.describe_layers(plan)["0"].endswith("MACs, whitened")


@pytest.mark.parametrize(("count", "images_seen"), [(1, "1 image"), (4, "4 images")])
def test_few_images_are_said(count, images_seen):
    network = nn.Sequential(nn.Flatten(), nn.Linear(108, 40), nn.ReLU(), nn.Linear(40, 3)).eval()
    batches = batches_of(count=count, channels=3)
    recipe = compress(network, [SVD(ratio=0.1)], sample=images(2, 3), batches=batches)[1]
    plan = recipe.entries[0].plan
    assert SVD.describe(plan)[1] == (
        f"weights fitted to the outputs on {images_seen}; regularised for a layer with more inputs "
        "than windows seen (1)"
    )
    ridge = plan["layers"]["1"]["whitened"]["ridge"]
    said = f"whitened (ridge {ridge:.2g}: {count} window{'' if count == 1 else 's'})"
    assert ridge > 0.1 and said in SVD.describe_layers(plan)["1"]


def test_more_inputs_than_can_be_held_are_left_to_the_weights(monkeypatch):
    monkeypatch.setattr(fitting, "MOST_INPUTS", 7)
    network = network_of(bias=True)
    found, recipe = compressed(network, SVD(ratio=0.25), batches_of())
    blind, _ = compressed(network, SVD(ratio=0.25, whiten=False), batches_of())
    assert torch.equal(found[0][0].weight, blind[0][0].weight)
    assert "images" not in recipe.entries[0].plan


def test_whiten_is_a_choice():
    network = network_of(bias=True)
    plans = [
        compressed(network, SVD(ratio=0.25, whiten=whiten), batches)[1].entries[0].plan
        for whiten, batches in ((False, batches_of()), ("auto", None), (True, batches_of()))
    ]
    assert plans[0] == plans[1] != plans[2]
    with pytest.raises(CompressionError, match="svd.whiten=true needs training images"):
        compressed(network, SVD(whiten=True), None)
    with pytest.raises(CompressionError, match="svd.whiten=no .*; there are auto, true, false"):
        SVD(whiten="no")


def test_inputs_that_are_not_finite():
    bad = batches_of()
    bad[0][0][0, 0, 0, 0] = torch.nan
    with pytest.raises(CompressionError, match="inputs of 0 are not all finite"):
        compressed(network_of(), SVD(), bad)


def test_inputs_that_never_change():
    """Nothing is known of them then, and the weights alone count."""
    network = network_of(norm=True)
    still = [(torch.zeros(4, 8, 6, 6), torch.zeros(4, dtype=torch.int64))]
    found, recipe = compressed(network, SVD(ratio=0.25), still)
    assert recipe.entries[0].plan["layers"]["0"]["whitened"]["ridge"] == 1
    blind = SVD(ratio=0.25, whiten=False).apply(network, recipe.entries[0].plan)
    torch.testing.assert_close(kernel_of(found[0]), kernel_of(blind[0]), rtol=1e-4, atol=1e-5)


def test_a_scan_tries_what_will_be_done():
    """Its points differ from those by the weights alone, under other keys."""
    network = network_of(bias=True)
    moments = InputMoments(network, lambda: batches_of())
    context = Context(sample=images(2), image_size=(6, 6), moments=moments)
    tried = {}
    for whiten in ("auto", False):
        (treatment,) = SVD(whiten=whiten).treatments(network, context, [0.25])
        tried[treatment.what] = SVD(whiten=whiten).apply(network, treatment.plan(), context)
    assert list(tried) == ["rank 2, whitened", "rank 2"]
    weights = [kernel_of(smaller[0]) for smaller in tried.values()]
    assert not torch.allclose(*weights)
