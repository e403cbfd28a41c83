"""Rounding weights: what is on the grid, and what it does to the outputs of a layer."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from compression.layer_moments import LayerMoments
from compression.quantization.weight_rounding import (
    LARGEST,
    nearest_levels,
    round_weight,
    second_order_levels,
)


def drawn(groups, outputs, inputs, seed):
    """A weight G x O x d, and inputs N x G x d that have much in common, with their moments."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(groups, outputs, inputs, generator=generator, dtype=torch.float64)
    mixing = torch.randn(groups, inputs, inputs, generator=generator, dtype=torch.float64)
    images = torch.randn(500, groups, inputs, generator=generator, dtype=torch.float64)
    images = torch.einsum("ngd,gde->nge", images, mixing) + 1
    mean = images.mean(0)
    centered = images - mean
    covariance = torch.einsum("ngd,nge->gde", centered, centered) / len(images)
    return weight, images, LayerMoments(mean=mean, covariance=covariance.float(), positions=500)


def outputs_of(weight, images):
    return torch.einsum("ngd,god->ngo", images, weight).flatten(1)


@given(
    groups=st.integers(1, 3),
    outputs=st.integers(1, 4),
    inputs=st.integers(1, 9),
    bits=st.sampled_from([4, 7, 8]),
    seed=st.integers(0, 99),
)
@settings(max_examples=30, deadline=None)
def test_never_worse_than_the_nearest_levels_on_the_layers_own_inputs(
    groups, outputs, inputs, bits, seed
):
    weight, images, moments = drawn(groups, outputs, inputs, seed)
    found = round_weight(weight, bits, moments)
    assert found.levels.abs().max() <= LARGEST[bits]
    assert torch.equal(found.levels, found.levels.round())
    expected = outputs_of(weight, images)
    corrected = outputs_of(found.value, images) + found.shift
    # With the shift no mean is left of the error.
    torch.testing.assert_close(corrected.mean(0), expected.mean(0), atol=1e-8, rtol=0)
    nearest = nearest_levels(weight, found.scale, LARGEST[bits]) * found.scale
    error = (corrected - expected).var(0, unbiased=False).sum()
    plain = (outputs_of(nearest, images) - expected).var(0, unbiased=False).sum()
    assert error <= plain * (1 + 1e-5)


def test_independent_inputs_leave_each_weight_at_its_nearest_level():
    weight = torch.randn(1, 3, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    scale = weight.abs().amax(2, keepdim=True) / 7
    levels = second_order_levels(weight, scale, 7, torch.eye(6, dtype=torch.float64)[None] * 2)
    assert torch.equal(levels, nearest_levels(weight, scale, 7))


def test_second_order_levels_are_nearer_to_the_best_of_all():
    """On average over drawn rows, against every combination of levels around them."""
    steps = torch.tensor([*itertools.product((-1, 0, 1, 2), repeat=4)], dtype=torch.float64)
    found = []
    for seed in range(20):
        weight, _, moments = drawn(1, 1, 4, seed)
        scale = weight.abs().amax(2, keepdim=True) / 7
        covariance = moments.covariance.double()

        def energy(levels, scale=scale, weight=weight, covariance=covariance):
            difference = levels * scale[0] - weight[0]
            return ((difference @ covariance[0]) * difference).sum(1).min().item()

        best = energy((weight / scale).floor()[0] + steps)
        second = energy(second_order_levels(weight, scale, 7, covariance)[0])
        nearest = energy(nearest_levels(weight, scale, 7)[0])
        assert best <= second * (1 + 1e-9)
        found.append((best, second, nearest))
    best, second, nearest = torch.tensor(found).log().mean(0).exp()
    assert second < 0.85 * nearest and second < 2 * best


def test_without_moments_it_is_onnxruntimes_rounding():
    weight = torch.tensor([[[1.0, -0.5, 0.25]], [[0.0, 0.0, 0.0]]], dtype=torch.float64)
    found = round_weight(weight, 8)
    assert found.levels.tolist() == [[[127, -64, 32]], [[0, 0, 0]]] and found.shift is None
    assert found.scale.flatten().tolist() == pytest.approx([1 / 127, 1])
    assert round_weight(weight, 7).levels[0].tolist() == [[64, -32, 16]]
