import copy
import json

import pytest
import tensorly
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorly.decomposition import partial_tucker
from torch import nn

from compression import Context, Recipe, compress
from compression.cost import count_macs, module_macs
from compression.errors import CompressionError
from compression.factorization.decomposition import tucker2
from compression.factorization.tucker import Tucker
from compression.factorization.tucker_layer import (
    fill_tucker_layer,
    is_tucker_layer,
    tucker_layer,
)


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(5, 7, 3, padding=1),
        nn.Conv2d(4, 9, (5, 3), stride=2, padding=2, dilation=2, bias=False),
        nn.Conv2d(3, 8, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(3, 4, 3, padding="same"),
    ],
)
def test_full_rank_is_the_identity(conv):
    x = torch.randn(2, conv.in_channels, 12, 16)
    layer = tucker_layer(conv, (conv.out_channels, conv.in_channels))
    fill_tucker_layer(layer, conv)
    torch.testing.assert_close(layer(x), conv(x), atol=1e-4, rtol=1e-4)
    again = tucker_layer(layer, (conv.out_channels, conv.in_channels))
    fill_tucker_layer(again, layer)
    torch.testing.assert_close(again(x), conv(x), atol=1e-4, rtol=1e-4)
    assert is_tucker_layer(layer) and not is_tucker_layer(nn.Sequential(conv, conv, conv))


def test_the_error_is_tensorlys():
    kernel = torch.randn(12, 10, 3, 3, generator=torch.Generator().manual_seed(0))
    core, outer, inner = tucker2(kernel, (5, 4))
    rebuilt = torch.einsum("rskl,or,is->oikl", core, outer, inner)
    found = torch.linalg.vector_norm(rebuilt - kernel) / torch.linalg.vector_norm(kernel)
    with tensorly.backend_context("numpy"):
        _, errors = partial_tucker(kernel.double().numpy(), [5, 4], modes=[0, 1])
    assert found.item() == pytest.approx(errors[-1], abs=1e-6)
    torch.testing.assert_close(outer.T @ outer, torch.eye(5).double())
    # Never better than the best rank-5 matrix of either unfolding (Eckart-Young).
    singular = torch.linalg.svdvals(kernel.double().flatten(1))
    assert found >= torch.linalg.vector_norm(singular[5:]) / torch.linalg.vector_norm(singular)


def test_a_kernel_of_low_rank_is_recovered():
    core = torch.randn(3, 2, 3, 3).double()
    kernel = torch.einsum(
        "rskl,or,is->oikl", core, torch.randn(9, 3).double(), torch.randn(8, 2).double()
    )
    rebuilt = torch.einsum("rskl,or,is->oikl", *tucker2(kernel, (3, 2)))
    torch.testing.assert_close(rebuilt, kernel)


def test_kernels_without_a_decomposition():
    core, outer, inner = tucker2(torch.zeros(4, 3, 3, 3), (2, 2))
    assert core.shape == (2, 2, 3, 3) and outer.shape == (4, 2) and inner.shape == (3, 2)
    with pytest.raises(CompressionError, match="NaN"):
        tucker2(torch.full((4, 3, 3, 3), torch.nan), (2, 2))


def test_plan_is_json_and_changes_nothing(network, context):
    before = copy.deepcopy(network.state_dict())
    modules = [type(m) for m in network.modules()]
    plan = Tucker(ratio=0.5).plan(network, context, 0)
    assert same(before, network.state_dict())
    assert modules == [type(m) for m in network.modules()]
    assert json.loads(json.dumps(plan)) == plan
    assert plan["layers"]["3"]["rank"] == [12, 8] and plan["layers"]["3"]["channels"] == [24, 16]
    assert plan["skipped"] == {"6": "grouped or 1x1", "7": "grouped or 1x1"}
    smaller = Tucker(ratio=0.5).apply(network, plan)
    assert same(before, network.state_dict()) and smaller is not network


def test_planned_macs_are_the_real_ones(network, sample):
    smaller, recipe = compress(network, [Tucker(ratio=0.5)], sample=sample)
    saved = sum(b - a for b, a in (x["macs"] for x in recipe.entries[0].plan["layers"].values()))
    size = sample.shape[-2:]
    assert count_macs(network, size) - count_macs(smaller, size) == saved > 0


def test_the_recipe_replays_on_meta(network, sample):
    smaller, recipe = compress(network, [Tucker(ratio=0.6, rounds=2)], sample=sample)
    again = Recipe.from_json(recipe.to_json())
    assert again == recipe and len(again.entries) == 2
    with torch.device("meta"):
        rebuilt = again.replay(copy.deepcopy(network).to("meta"))
    rebuilt.load_state_dict(smaller.state_dict(), assign=True)
    assert torch.equal(rebuilt(sample), smaller(sample))


def test_rounds_shrink_on_the_way_to_the_ratio(network, sample):
    ranks = []
    step = Tucker(ratio=0.5, rounds=2, include=["3"])
    compress(
        network,
        [step],
        sample=sample,
        fine_tune=lambda n, s, r: ranks.append(n[3][1].weight.shape[:2]),
    )
    assert [tuple(rank) for rank in ranks] == [(18, 12), (12, 8)]


def test_a_later_run_shrinks_what_an_earlier_one_made(network, sample):
    once, _ = compress(network, [Tucker(ratio=0.5, include=["3"])], sample=sample)
    twice, recipe = compress(once, [Tucker(ratio=0.5, include=["3"])], sample=sample)
    assert is_tucker_layer(twice[3]) and twice[3][1].weight.shape[:2] == (6, 4)
    assert recipe.entries[0].plan["layers"]["3"]["channels"] == [12, 8]
    assert torch.equal(twice[3][2].bias, network[3].bias)


def test_training_state_is_carried_over(network, sample):
    network.train().half()
    plan = Tucker(ratio=0.5).plan(network, Context(sample=sample, image_size=(20, 28)), 0)
    smaller = Tucker(ratio=0.5).apply(network, plan)
    assert smaller[3][0].training and smaller[3][0].weight.dtype == torch.float16


def test_says_what_was_done(network, sample):
    _, recipe = compress(network, [Tucker(include=["0"])], sample=sample)
    assert recipe.summary() == [
        "tucker: factorised 1 layer: 0; 1 excluded convolution left alone; "
        "2 grouped or 1x1 convolutions left alone"
    ]


@pytest.mark.parametrize("wrong", [{"ratio": 0}, {"ratio": 1.1}, {"ratio": "x"}, {"rounds": 0}])
def test_refuses_settings(wrong):
    with pytest.raises(CompressionError, match=next(iter(wrong))):
        Tucker(**wrong)


def test_refuses_networks_and_patterns(network, sample):
    with pytest.raises(CompressionError, match="'body.3'; the nearest names are"):
        compress(network, [Tucker(include=["body.3"])], sample=sample)
    with pytest.raises(CompressionError, match=r"changes no layer.*no cheaper"):
        compress(network, [Tucker(ratio=1.0)], sample=sample)
    depthwise = nn.Sequential(nn.Conv2d(3, 3, 3, groups=3), nn.Conv2d(3, 8, 1))
    with pytest.raises(CompressionError, match="2 grouped or 1x1 convolutions"):
        compress(depthwise, [Tucker(rounds=3)], sample=sample)


def test_refuses_another_architecture(network, sample):
    _, recipe = compress(network, [Tucker()], sample=sample)
    with pytest.raises(CompressionError, match="no convolution called '0'"):
        recipe.replay(nn.Sequential(nn.Linear(2, 2)))
    network[3] = nn.Conv2d(16, 20, 3)
    with pytest.raises(
        CompressionError, match=r"'3' has \[20, 16\] channels instead of \[24, 16\]"
    ):
        recipe.replay(network)


@settings(max_examples=30, deadline=None)
@given(
    channels=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    kernel=st.sampled_from([2, 3, 5]),
    stride=st.integers(1, 3),
    ratio=st.floats(0.05, 1.0),
    size=st.integers(7, 16),
)
def test_no_layer_gets_costlier(channels, kernel, stride, ratio, size):
    conv = nn.Conv2d(*channels, kernel, stride=stride)
    network = nn.Sequential(nn.Conv2d(3, channels[0], 1), conv)
    context = Context(sample=torch.zeros(1, 3, size, size), image_size=(size, size))
    before = module_macs(conv, (1, channels[0], size, size))
    try:
        plan = Tucker(ratio=ratio).plan(network, context, 0)
    except CompressionError:
        return  # nothing to gain here
    smaller = Tucker.restructure(copy.deepcopy(network), plan)
    assert plan["layers"]["1"]["macs"][0] == before
    assert module_macs(smaller[1], (1, channels[0], size, size)) < before
