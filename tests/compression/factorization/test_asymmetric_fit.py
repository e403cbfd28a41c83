"""Products that make up for the errors of those before them, where other images agree."""

import copy
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from compression import compress
from compression.context import Context
from compression.cost.geometry import Geometry
from compression.factorization import asymmetric_fit
from compression.factorization.asymmetric_regression import AsymmetricRegression
from compression.factorization.kernels import kernel_of
from compression.factorization.svd import SVD
from compression.layer_moments import InputMoments
from compression.recalibration import recalibrate


def network_of(norm=True):
    """Five layers, each of which is given what those before it have lost."""
    torch.manual_seed(3)
    widths = 8, 16, 16, 16, 16, 16
    body = []
    for inputs, outputs in pairwise(widths):
        body += [nn.Conv2d(inputs, outputs, 1, bias=not norm)]
        body += [nn.BatchNorm2d(outputs)] if norm else []
        body += [nn.ReLU()]
    network = nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5)).eval()
    recalibrate(network, [images(384)])
    return network


def images(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(8, 6, generator=torch.Generator().manual_seed(9))
    free = torch.randn(count, 6, 4, 4, generator=generator)
    noise = torch.randn(count, 8, 4, 4, generator=generator)
    return torch.einsum("cr,nrhw->nchw", mixing, free) + 0.3 * noise + 0.5


def context_of(network, count=384):
    batches = [(images(count), None)]
    moments = InputMoments(network, lambda: batches)
    return Context(
        sample=images(2), image_size=(4, 4), moments=moments, train_batches=lambda: batches
    )


def ranks_of(network, rank=4):
    return {n: rank for n, m in network.named_modules() if isinstance(m, nn.Conv2d)}


def fitted(network, context, monkeypatch=None):
    """Products fitted in sequence; with `monkeypatch`, as they were before."""
    step = SVD(ranks=ranks_of(network))
    plan = step.plan(network, context, 0)
    if monkeypatch is None:
        return step.apply(network, plan, context)
    with monkeypatch.context() as patch:
        patch.setattr(asymmetric_fit, "FEWEST", 10**6)
        patch.setattr("compression.factorization.factorization.fit_in_sequence", lambda *_: [])
        return step.apply(network, plan, context)


@settings(max_examples=20, deadline=None)
@given(
    groups=st.integers(1, 2), inputs=st.integers(1, 4), outputs=st.integers(1, 4),
    centered=st.booleans(), seed=st.integers(0, 99),
)  # fmt: skip
def test_the_regression_is_that_of_numpy(groups, inputs, outputs, centered, seed):
    generator = torch.Generator().manual_seed(seed)
    seen = torch.randn(groups, 40, inputs, generator=generator) + 1
    wanted = torch.randn(groups, 40, outputs, generator=generator) - 2
    kernel = torch.randn(groups, outputs, inputs, 1, 1, generator=generator).double()
    regression = AsymmetricRegression(seen, wanted, centered=centered)
    found, _ = regression.towards(kernel, 1e-9)
    drawn, _ = regression.towards(kernel, 1e9)
    torch.testing.assert_close(drawn, kernel)
    energy = left = 0.0
    for group in range(groups):
        x, y = seen[group].double().numpy(), wanted[group].double().numpy()
        if centered:
            x, y = x - x.mean(0), y - y.mean(0)
        expected = np.linalg.lstsq(x, y, rcond=None)[0].T
        np.testing.assert_allclose(found[group].flatten(1), expected, atol=1e-4)
        energy += np.square(y).sum()
        left += np.square(y - x @ kernel[group].flatten(1).numpy().T).sum()
    assert regression.error(kernel) == pytest.approx(left / energy, rel=1e-4)
    assert regression.error(found) <= regression.error(kernel) + 1e-6
    shifted = (wanted - seen @ kernel.flatten(2).mT.float()).mean(1).flatten().double()
    torch.testing.assert_close(regression.shift(kernel), shifted, atol=1e-5, rtol=1e-4)


def test_inputs_that_are_all_zero_leave_the_kernel():
    regression = AsymmetricRegression(torch.zeros(1, 9, 3), torch.zeros(1, 9, 2), centered=True)
    kernel = torch.randn(1, 2, 3, 1, 1).double()
    torch.testing.assert_close(regression.towards(kernel, 0.1)[0], kernel)
    assert regression.error(kernel) == 0


@pytest.mark.parametrize("norm", [True, False])
def test_logits_come_nearer_on_further_images(norm, monkeypatch):
    network = network_of(norm)
    before = copy.deepcopy(network.state_dict())
    context = context_of(network)
    sequence, each = fitted(network, context), fitted(network, context, monkeypatch)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])
    assert not any(m._forward_pre_hooks for net in (network, sequence) for m in net.modules())
    for name, value in each.state_dict().items():
        if "running" in name or "tracked" in name:
            assert torch.equal(value, sequence.state_dict()[name])
    assert [m.training for m in sequence.modules()] == [m.training for m in each.modules()]
    momenta = {m.momentum for m in sequence.modules() if isinstance(m, nn.BatchNorm2d)}
    assert momenta == ({0.1} if norm else set())
    further, errors = images(200, seed=1), []
    for smaller in (sequence, each):
        recalibrate(smaller, [images(384)])
        with torch.no_grad():
            errors.append((smaller(further) - network(further)).square().mean())
    assert errors[0] < 0.7 * errors[1]


def test_outputs_that_do_not_fit_into_memory_are_collected_in_turn(monkeypatch):
    network = network_of()
    context = context_of(network)
    context.moments.of(ranks_of(network))  # a pass of its own
    passes, counts, found = [], [], []
    network[-1].register_forward_hook(lambda *_: passes.append(1))
    for most in (asymmetric_fit.BYTES, 0):
        monkeypatch.setattr(asymmetric_fit, "BYTES", most)
        found.append(fitted(network, context))
        counts.append(len(passes))
        passes.clear()
    assert counts[1] == counts[0] + 4  # one for each of five layers
    for one, other in zip(*(smaller.parameters() for smaller in found), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("count", [256, 271])
def test_nothing_is_done_without_images_to_judge_by(count, monkeypatch):
    network = network_of()
    context = context_of(network, count)
    for one, other in zip(
        fitted(network, context).parameters(),
        fitted(network, context, monkeypatch).parameters(),
        strict=True,
    ):
        assert torch.equal(one, other)


def test_it_is_undone_where_the_logits_get_no_nearer(monkeypatch):
    network = network_of()
    context = context_of(network)
    told = iter([0.5, 0.5])

    class Unmoved:
        def __init__(self, *_):
            pass

        def __call__(self, _):
            return next(told)

    each = fitted(network, context, monkeypatch)
    monkeypatch.setattr(asymmetric_fit, "LogitDivergence", Unmoved)
    undone = fitted(network, context)
    assert next(told, None) is None
    for one, other in zip(undone.state_dict().values(), each.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_a_product_keeps_its_weights_where_others_are_no_nearer():
    layer = nn.Conv2d(4, 4, 1)
    decomposition, rank = SVD.decomposition, [2]
    product = decomposition.structure(Geometry.of(layer), rank)
    seen = torch.randn(1, 50, 4)
    kernel = kernel_of(product)
    right = seen @ kernel.flatten(2).mT.float()
    weights = [p.clone() for p in product.parameters() if p.ndim == 4]
    fitted_to = AsymmetricRegression(seen, torch.randn(1, 50, 4), centered=True)
    judged = AsymmetricRegression(seen, right, centered=True)
    with torch.no_grad():
        assert not asymmetric_fit.improve(product, layer, decomposition, rank, fitted_to, judged)
    for one, other in zip(weights, (p for p in product.parameters() if p.ndim == 4), strict=True):
        assert torch.equal(one, other)


def test_compress_does_it():
    network = network_of()
    batches = [(images(384), torch.zeros(384, dtype=torch.int64))]
    smaller, recipe = compress(
        network, [SVD(ranks=ranks_of(network))], sample=images(2), batches=batches
    )
    plan = recipe.entries[0].plan
    expected = SVD().apply(network, plan, context_of(network))
    for name in plan["layers"]:
        for one, other in zip(
            smaller.get_submodule(name).parameters(),
            expected.get_submodule(name).parameters(),
            strict=True,
        ):
            torch.testing.assert_close(one, other)
