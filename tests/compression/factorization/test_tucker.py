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
from compression.cost.macs import count_macs, module_macs
from compression.errors import CompressionError
from compression.factorization.tucker import Tucker, TuckerDecomposition, tucker2


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def rebuilt(core, outer, inner):
    return torch.einsum("grskl,gor,gis->goikl", core, outer, inner)


@pytest.mark.parametrize(("decay", "tolerance"), [(0.7, 1e-4), (0.9, 2e-3), (1.0, 2e-2)])
def test_the_error_is_tensorlys(decay, tolerance):
    """Kernels whose channels matter less and less; at decay 1 they are noise, the hardest case."""
    kernel = torch.randn(12, 10, 3, 3, generator=torch.Generator().manual_seed(0)).double()
    sizes = decay ** torch.arange(12.0).double()
    mixing = torch.linalg.qr(torch.randn(12, 12, generator=torch.Generator().manual_seed(1)))[0]
    kernel = torch.einsum("po,o,oihw->pihw", mixing.double(), sizes, kernel)
    core, outer, inner = tucker2(kernel[None], (5, 4))
    error = rebuilt(core, outer, inner)[0] - kernel
    found = torch.linalg.vector_norm(error) / torch.linalg.vector_norm(kernel)
    with tensorly.backend_context("numpy"):
        _, errors = partial_tucker(kernel.numpy(), [5, 4], modes=[0, 1], tol=1e-9)
    assert found.item() == pytest.approx(errors[-1], rel=tolerance)
    torch.testing.assert_close(outer[0].T @ outer[0], torch.eye(5).double())
    # Never better than the best rank-5 matrix of either unfolding (Eckart-Young).
    singular = torch.linalg.svdvals(kernel.flatten(1))
    assert found >= torch.linalg.vector_norm(singular[5:]) / torch.linalg.vector_norm(singular)


def test_a_kernel_of_low_rank_is_recovered():
    core, outer, inner = torch.randn(2, 3, 2, 3, 3), torch.randn(2, 9, 3), torch.randn(2, 8, 2)
    kernel = rebuilt(core.double(), outer.double(), inner.double())
    torch.testing.assert_close(rebuilt(*tucker2(kernel, (3, 2))), kernel)


def test_a_kernel_of_zeros():
    core, outer, inner = tucker2(torch.zeros(1, 4, 3, 3, 3).double(), (2, 2))
    assert core.shape == (1, 2, 2, 3, 3) and outer.shape == (1, 4, 2) and inner.shape == (1, 3, 2)
    assert not rebuilt(core, outer, inner).any()


def test_plan_is_json_and_changes_nothing(network, context):
    before = copy.deepcopy(network.state_dict())
    modules = [type(m) for m in network.modules()]
    plan = Tucker(ratio=0.5).plan(network, context, 0)
    assert same(before, network.state_dict())
    assert modules == [type(m) for m in network.modules()]
    assert json.loads(json.dumps(plan)) == plan
    assert plan["layers"]["3"]["rank"] == [12, 8] and plan["layers"]["3"]["channels"] == [24, 16]
    assert plan["skipped"] == {"6": "grouped", "7": "1x1"}
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
    assert TuckerDecomposition.is_product(twice[3]) and twice[3][1].weight.shape[:2] == (6, 4)
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
        "tucker: factorised 1 layer: 0; left alone: 1 excluded, 1 grouped, 1 1x1"
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
    with pytest.raises(
        CompressionError, match="changes no layer of this network .1 grouped, 1 1x1.; it is for kxk"
    ):
        compress(depthwise, [Tucker(rounds=3)], sample=sample)


def test_refuses_another_architecture(network, sample):
    _, recipe = compress(network, [Tucker()], sample=sample)
    with pytest.raises(CompressionError, match="no layer for it called '0'"):
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
