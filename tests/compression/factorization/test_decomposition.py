"""Every product at full rank is its layer, and at lower rank as good as an independent method."""

from math import prod

import pytest
import tensorly
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorly.decomposition import parafac
from torch import nn

from compression.cost.geometry import Geometry, layer_macs
from compression.cost.macs import module_macs
from compression.errors import CompressionError
from compression.factorization.cp import CPDecomposition, cp
from compression.factorization.factorization import fill
from compression.factorization.kernels import Spectrum, kernel_of
from compression.factorization.spatial_svd import SpatialSVDDecomposition
from compression.factorization.svd import SVDDecomposition
from compression.factorization.tucker import Tucker, TuckerDecomposition

FORMS = [TuckerDecomposition, CPDecomposition, SVDDecomposition, SpatialSVDDecomposition]
WINDOWS = [
    nn.Conv2d(5, 7, 3, padding=1),
    nn.Conv2d(4, 6, (5, 3), stride=(2, 3), padding=2, dilation=(1, 2), bias=False),
    nn.Conv2d(3, 8, 3, padding=(1, 2), padding_mode="reflect"),
    nn.Conv2d(3, 4, 3, padding="same", padding_mode="circular"),
    nn.Conv2d(3, 4, 2, padding="valid"),
    nn.Conv2d(6, 8, 3, groups=2, stride=(2, 1)),
]
POINTS = [
    nn.Conv2d(5, 7, 1, stride=2, padding=1),
    nn.Conv2d(9, 6, 1, groups=3, bias=False),
    nn.Linear(5, 9),
    nn.Linear(9, 4, bias=False),
]
DEPTHWISE = nn.Conv2d(6, 12, 5, groups=6, padding=2, stride=2)
CASES = [
    *((TuckerDecomposition, layer) for layer in WINDOWS),
    *((CPDecomposition, layer) for layer in WINDOWS),
    *((SpatialSVDDecomposition, layer) for layer in [*WINDOWS, DEPTHWISE]),
    *((SVDDecomposition, layer) for layer in POINTS),
]


def input_of(layer, *sizes):
    generator = torch.Generator().manual_seed(0)
    if isinstance(layer, nn.Linear):
        return torch.randn(2, 3, layer.in_features, generator=generator)
    return torch.randn(2, layer.in_channels, *(sizes or (12, 17)), generator=generator)


def product_of(decomposition, layer, rank):
    product = decomposition.structure(Geometry.of(layer), rank)
    with torch.no_grad():
        fill(product, layer, decomposition, rank)
    return product


def full_rank(decomposition, layer):
    if decomposition is not CPDecomposition:
        return decomposition.max_rank(layer)
    sides = kernel_of(layer).shape[1:]  # a tensor may need more terms than any unfolding has rank
    return [prod(sides) // max(sides)]


@pytest.mark.parametrize(("decomposition", "layer"), CASES)
def test_full_rank_is_the_layer(decomposition, layer):
    rank, x = full_rank(decomposition, layer), input_of(layer)
    product = product_of(decomposition, layer, rank)
    torch.testing.assert_close(product(x), layer(x), atol=1e-4, rtol=1e-4)
    assert all(factor.bias is None for factor in product[:-1])
    assert product[-1].bias is None if layer.bias is None else product[-1].bias is not layer.bias
    assert {type(factor) for factor in product} == {type(layer)}
    # It is known again, and its own product is the layer still.
    assert decomposition.is_product(product) and decomposition.max_rank(product) == rank
    assert not any(other.is_product(product) for other in FORMS if other is not decomposition)
    again = product_of(decomposition, product, rank)
    torch.testing.assert_close(again(x), layer(x), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("decomposition", "layer"), CASES)
def test_macs_by_arithmetic_are_those_counted(decomposition, layer):
    shape = input_of(layer).shape
    product = decomposition.structure(
        Geometry.of(layer, device="meta"), [1] * len(decomposition.max_rank(layer))
    )
    assert layer_macs(layer, shape) == module_macs(layer, shape)
    assert layer_macs(product, shape) == module_macs(product, shape)


def test_what_is_no_product():
    conv = nn.Conv2d(4, 4, 3)
    others = [
        conv,
        nn.Sequential(),
        nn.Sequential(conv, conv, conv),
        nn.Sequential(nn.Conv2d(4, 2, 1), nn.Conv2d(2, 4, 1)),  # a bias in between
        nn.Sequential(nn.Linear(4, 2, bias=False), nn.ReLU(), nn.Linear(2, 4)),
        nn.Sequential(nn.Conv2d(4, 2, 1, bias=False), nn.Conv2d(2, 4, 3)),
    ]
    assert not any(decomposition.is_product(other) for decomposition in FORMS for other in others)


@pytest.mark.parametrize("layer", POINTS)
def test_svd_is_the_best_there_is(layer):
    product = product_of(SVDDecomposition, layer, [2])
    kernel = kernel_of(layer)[..., 0, 0]
    left, values, right = torch.linalg.svd(kernel, full_matrices=False)
    best = (left[..., :2] * values[:, None, :2]) @ right[:, :2]
    torch.testing.assert_close(kernel_of(product)[..., 0, 0], best, atol=1e-6, rtol=0)
    up, down = kernel_of(product[1])[..., 0, 0], kernel_of(product[0])[..., 0, 0]
    torch.testing.assert_close(up.norm(dim=-2).flatten(), down.norm(dim=-1).flatten())


@pytest.mark.parametrize("layer", [*WINDOWS, DEPTHWISE])
def test_spatial_svd_is_the_best_there_is(layer):
    kernel = kernel_of(layer)
    product = kernel_of(product_of(SpatialSVDDecomposition, layer, [2]))
    for ours, theirs in zip(product, kernel, strict=True):
        outputs, inputs, height, width = theirs.shape
        matrix = torch.einsum("oihw->ihow", theirs).reshape(inputs * height, outputs * width)
        lost = torch.linalg.svdvals(matrix)[2:].norm()
        torch.testing.assert_close((ours - theirs).norm(), lost, atol=1e-5, rtol=1e-5)


def test_cp_is_as_good_as_tensorlys():
    kernel = torch.randn(8, 6, 3, 3, generator=torch.Generator().manual_seed(0)).double()
    factors = cp(kernel, 5)
    error = (torch.einsum("or,ir,hr,wr->oihw", *factors) - kernel).norm() / kernel.norm()
    with tensorly.backend_context("numpy"):
        theirs = [
            parafac(kernel.numpy(), 5, init="random", n_iter_max=300, random_state=seed)
            for seed in range(3)
        ]
        errors = [
            tensorly.norm(tensorly.cp_to_tensor(t) - kernel.numpy()) / tensorly.norm(kernel.numpy())
            for t in theirs
        ]
    assert error.item() < sum(errors) / 3 + 0.02
    sizes = torch.stack([factor.norm(dim=0) for factor in factors])
    torch.testing.assert_close(sizes, sizes[:1].expand_as(sizes))  # spread evenly


@given(
    shape=st.tuples(*[st.integers(1, 5)] * 4), more=st.integers(0, 3), seed=st.integers(0, 2**32)
)
@settings(deadline=None)
def test_cp_with_a_term_for_each_cell_is_exact(shape, more, seed):
    kernel = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).double()
    factors = cp(kernel, prod(shape) // max(shape) + more)
    torch.testing.assert_close(torch.einsum("or,ir,hr,wr->oihw", *factors), kernel)


def test_cp_finds_planted_terms():
    planted = [torch.randn(n, 3, generator=torch.Generator().manual_seed(n)) for n in (9, 7, 3, 4)]
    kernel = torch.einsum("or,ir,hr,wr->oihw", *planted).double()
    torch.testing.assert_close(
        torch.einsum("or,ir,hr,wr->oihw", *cp(kernel, 3)), kernel, atol=1e-3, rtol=1e-3
    )
    assert not torch.cat(cp(torch.zeros(4, 3, 3, 3).double(), 2)).any()


def test_a_product_without_the_bias_is_refused():
    layer = nn.Conv2d(4, 6, 3)
    bare = nn.Conv2d(4, 6, 3, bias=False)
    product = TuckerDecomposition.structure(Geometry.of(bare), [2, 2])
    with pytest.raises(TypeError, match="bias"), torch.no_grad():
        fill(product, layer, TuckerDecomposition, [2, 2])


def test_weights_go_to_products_only():
    network = nn.Sequential(nn.Conv2d(4, 6, 3))
    plan = {"layers": {"0": {"rank": [2, 2], "channels": [6, 4]}}}
    with pytest.raises(TypeError, match="no product at '0', but Conv2d"):
        Tucker().transfer_weights(network, nn.Sequential(nn.Conv2d(4, 6, 3)), plan)


def test_weights_that_are_no_numbers():
    layer = nn.Linear(3, 2)
    nn.init.constant_(layer.weight, torch.nan)
    with pytest.raises(CompressionError, match="NaN"):
        kernel_of(layer)


@given(
    rows=st.integers(1, 12),
    columns=st.integers(1, 12),
    groups=st.integers(1, 3),
    seed=st.integers(0),
)
@settings(deadline=None)
def test_spectra_are_singular_values(rows, columns, groups, seed):
    generator = torch.Generator().manual_seed(seed % 2**32)
    matrix = torch.randn(groups, rows, columns, generator=generator).double()
    found = Spectrum.of(matrix, 5)
    expected = torch.linalg.svdvals(matrix)[:, :5]
    torch.testing.assert_close(found.values, expected, atol=1e-6, rtol=1e-6)
    assert (found.rows, found.columns) == (min(5, rows, columns), max(rows, columns))


def test_a_geometry_of_another_device():
    assert Geometry.of(DEPTHWISE, device="meta").device == torch.device("meta")
    assert Geometry.of(DEPTHWISE).groups == 6 and Geometry.of(DEPTHWISE).group_outputs == 2
