"""The step: outputs stay, a plan is replayed on meta, and what cannot be merged is told."""

import copy

import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from compression import (
    SVD,
    CompressionError,
    Hybrid,
    ImageKind,
    Merge,
    Prune,
    Recipe,
    Tucker,
    compress,
    count_macs,
)
from compression.context import Context
from compression.engine import check_order, run_round
from compression.latency import RelativeLatency
from compression.onnx import export_onnx, onnx_session
from compression.recalibration import recalibrate
from compression.step import Step
from compression.structure import check_structure
from tests.compression.merging.blocks import (
    Branches,
    Costlier,
    InFunction,
    InPlace,
    TwoHeads,
    network_of,
    settle,
)

IMAGES = torch.rand(4, 3, 24, 24, generator=torch.Generator().manual_seed(0))
BATCHES = [(IMAGES, torch.arange(4))]


def same(network, merged, images=IMAGES):
    """Equal to 1e-4 of the largest logit."""
    with torch.no_grad():
        expected = network(images)
        return (merged(images) - expected).abs().max() <= 1e-4 * expected.abs().max()


def replayed(network, smaller, recipe):
    again = Recipe.from_json(recipe.to_json()).replay(copy.deepcopy(network).to("meta"))
    assert str(again) == str(smaller)
    again.load_state_dict(smaller.state_dict(), assign=True)
    return again


@settings(max_examples=8, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.lists(st.sampled_from([1, 3, 5]), min_size=1, max_size=3),
            st.sampled_from([1, 2]),
            st.sampled_from([1, 2, 8]),
            st.booleans(),
        ),
        min_size=1,
        max_size=3,
    )
)
def test_random_networks_replay_on_meta(drawn):
    blocks = [Branches(8, 8, k, stride=s, groups=g, act=act) for k, s, g, act in drawn]
    network = network_of(*blocks)
    before = copy.deepcopy(network.state_dict())
    context = Context(sample=IMAGES, image_size=(24, 24))
    merged, entry = run_round(Merge(), network, context, 0)
    assert same(network, merged)
    again = replayed(network, merged, Recipe([entry]))
    with torch.no_grad():
        assert torch.equal(again(IMAGES), merged(IMAGES))
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    branched = [b for b in blocks if len(b.convs) > 1 or b.norm is not None]
    assert len(entry.plan["layers"]) == len(branched)


def test_what_a_module_becomes():
    network = network_of(Branches(8, 8, (3, 3, 1), stride=2, groups=4), InPlace(8))
    merged, recipe = compress(network, [Merge()], sample=IMAGES)
    (entry,) = recipe.entries
    assert entry.plan == {
        "layers": {
            "1.0": {
                **{"branches": 3, "inputs": 8, "outputs": 8, "kernel": [3, 3], "stride": [2, 2]},
                **{"padding": [1, 1], "dilation": [1, 1], "groups": 4, "bias": True},
                **{"linear": False, "then": ["act"]},
            },
            "1.1": {
                **{"branches": 4, "inputs": 8, "outputs": 8, "kernel": [3, 3], "stride": [1, 1]},
                **{"padding": [1, 1], "dilation": [1, 1], "groups": 1, "bias": True},
                **{"linear": False, "then": []},
            },
        },
        "skipped": {},
    }
    assert [name for name, _ in merged[1].named_modules()] == [
        "",
        "0",
        "0.reparam_conv",
        "0.act",
        "1",
    ]
    assert merged[1][0].act is not network[1][0].act
    assert recipe.summary() == ["merge: merged 7 branches of 2 modules into as many convolutions"]
    assert recipe.layers()[0] == (
        *("merge", "1.0"),
        "3 branches are one 3 x 3 convolution, 8 -> 8, stride 2 x 2, 4 groups",
    )


def test_heads_become_a_linear_layer():
    network = nn.Sequential(nn.Flatten(), TwoHeads(12, 3))
    images = torch.randn(4, 3, 2, 2)
    merged, recipe = compress(settle(network), [Merge()], sample=images)
    assert isinstance(merged[1], nn.Linear) and same(network, merged, images)
    assert recipe.layers()[0][2] == "2 branches are one Linear, 12 -> 3"


def test_a_network_without_branches_stays():
    network = network_of()
    merged, recipe = compress(network, [Merge()], sample=IMAGES, batches=BATCHES)
    assert recipe.summary() == ["merge: no module has parallel branches; nothing changed"]
    assert torch.equal(merged(IMAGES), network(IMAGES))
    assert recipe.entries[0].plan == {"layers": {}, "skipped": {}}
    again, _ = compress(network_of(Branches(8, 8)), [Merge(), Merge()], sample=IMAGES)
    assert again[1][0].reparam_conv.bias is not None


def test_what_is_left_alone_and_why():
    network = network_of(InFunction(8), Costlier(8), Branches(8, 8))
    _, recipe = compress(network, [Merge(exclude=["1.2"])], sample=IMAGES)
    assert recipe.entries[0].plan["skipped"] == {
        "1.0": "its branches go into relu, not into a member of it",
        "1.1": "one convolution would be costlier than its branches",
        "1.2": "excluded",
    }
    assert recipe.summary() == [
        "merge: nothing changed",
        "merge: left 3 modules with branches alone",
    ]
    assert recipe.layers()[0][2].startswith("left alone: its branches")
    with pytest.raises(CompressionError, match="No layer matches the pattern 'stem'"):
        compress(network, [Merge(include=["stem"])], sample=IMAGES)


class ReadsMembers(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = Branches(8, 8), Branches(8, 8)

    def forward(self, x):
        return self.second(self.first(x)) * len(self.first.convs)


class Scaled(Branches):
    def forward(self, x, scale=1.0):
        return super().forward(x * scale)


class CallsWithMore(nn.Module):
    def __init__(self):
        super().__init__()
        self.inside = Scaled(8, 8)

    def forward(self, x):
        return self.inside(x, 3.0)


def test_members_that_others_read_stay():
    network = network_of(ReadsMembers(), CallsWithMore())
    merged, recipe = compress(network, [Merge()], sample=IMAGES)
    plan = recipe.entries[0].plan
    assert list(plan["layers"]) == ["1.0.second"]
    assert plan["skipped"] == {
        "1.0.first": "other code of the network reads its members",
        "1.1": "its branches go into relu, not into a member of it",
    }
    assert same(network, merged)


def test_frozen_training_and_dtype_stay():
    network = network_of(Branches(8, 8)).to(torch.float64).train()
    network[1].requires_grad_(False)
    merged, _ = compress(network, [Merge()], sample=IMAGES.double())
    conv = merged[1][0].reparam_conv
    assert conv.weight.dtype == torch.float64
    assert not conv.weight.requires_grad and conv.training and merged[1][0].training
    assert merged[0][0].weight.requires_grad


def test_statistics_that_were_calibrated_stay():
    network = network_of(Branches(8, 8))
    recalibrate(network, [IMAGES])
    context = Context(sample=IMAGES, image_size=(24, 24), train_batches=lambda: BATCHES)
    merged, _ = run_round(Merge(), network, context, 0)
    assert torch.equal(merged[0][1].running_mean, network[0][1].running_mean)
    assert same(network, merged)


def test_a_fine_tuning_that_follows_is_told():
    network = network_of(Branches(8, 8))
    told = []
    for fine_tune in (None, lambda network, step, round: None):
        _, recipe = compress(network, [Merge()], sample=IMAGES, fine_tune=fine_tune)
        told.append(recipe.summary())
    assert told[0] == told[1][:1]
    assert told[1][1:] == [
        "merge: a fine-tuning follows, in which they are trained without branches and BatchNorm; "
        "merged after the last one they would keep both"
    ]


@pytest.mark.parametrize(
    ("later", "setting"),
    [
        (Prune(importance="bn_scale"), "importance=bn_scale"),
        (Prune(penalty="bn_scale"), "penalty=bn_scale"),
        (Hybrid(importance="bn_scale"), "importance=bn_scale"),
    ],
)
def test_no_step_that_reads_batch_norm_follows(later, setting):
    check_order([later, Merge(), Prune(), Step()])
    refusal = (
        f"{later.name}.{setting} reads the scales of BatchNorm, but merge, which comes before it, "
        f"folds BatchNorm into convolutions; put merge after it, or choose another "
        f"{setting.partition('=')[0]}."
    )
    for before in ([], [Prune()]):
        with pytest.raises(CompressionError) as error:
            check_order([Merge(), *before, later])
        assert str(error.value) == refusal
    merged, recipe = compress(network_of(Branches(8, 8)), [Merge()], sample=IMAGES)
    merged.recipe = recipe
    with pytest.raises(CompressionError, match="reads the scales of BatchNorm"):
        compress(merged, [later], sample=IMAGES)


def test_other_architectures_are_refused():
    _, recipe = compress(network_of(Branches(8, 8)), [Merge()], sample=IMAGES)
    plan = recipe.entries[0].plan
    with pytest.raises(CompressionError, match="there is no module called '1.0'"):
        recipe.replay(network_of())
    with pytest.raises(CompressionError, match=r"there is no module called '1.0.act'"):
        recipe.replay(network_of(Costlier(8)))
    for other in (nn.Sequential(nn.Sequential(nn.Conv2d(8, 8, 1), nn.ReLU())), InFunction(8)):
        other.act = nn.ReLU()
        with pytest.raises(CompressionError, match="made for another architecture: '1.0'"):
            Merge().apply(network_of(other), plan)


def test_structure_decides_all():
    network = network_of(Branches(8, 8), InPlace(8))
    context = Context(sample=IMAGES, image_size=(24, 24))
    found = Merge().structural_plan(copy.deepcopy(network).to("meta"), context, 0)
    assert found.exact and found.plan == Merge().plan(network, context, 0)
    steps = {"compression.merge": Merge(), "compression.tucker": Tucker(include=["1.0.convs*"])}
    with pytest.raises(CompressionError, match="after merge: No layer matches the pattern"):
        check_structure(network, steps, 24)


@pytest.mark.parametrize(
    "step",
    [Prune(ratio=0.5), Tucker(ratio=0.3, include=["1.0.*"]), SVD(ratio=0.3, include=["1.1"])],
)
def test_other_steps_follow(step):
    network = network_of(Branches(8, 8), Branches(8, 8, (1, 1), act=False))
    smaller, recipe = compress(network, [Merge(), step], sample=IMAGES, batches=BATCHES)
    again = replayed(network, smaller, recipe)
    assert torch.equal(again(IMAGES), smaller(IMAGES))
    assert count_macs(smaller, 24) < count_macs(network, 24)


# Random weights and statistics, 64 pixels: the ratio of MACs that is left, modules, branches.
TIMM = {
    "repvgg_a2": (0.9, 22, 61),
    "mobileone_s0": (0.261, 43, 226),
    "fastvit_t8": (0.993, 20, 70),
    "repvit_m0_9": (0.998, 24, 71),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TIMM)
def test_networks_of_timm(name, tmp_path):
    torch.manual_seed(0)
    network = settle(timm.create_model(name, num_classes=6))
    images = torch.randn(2, 3, 64, 64)
    merged, recipe = compress(network, [Merge()], sample=images)
    macs, modules, branches = TIMM[name]
    layers = recipe.entries[0].plan["layers"]
    assert len(layers) == modules
    assert sum(layer["branches"] for layer in layers.values()) == branches
    assert count_macs(merged, 64) / count_macs(network, 64) == pytest.approx(macs, abs=0.001)
    assert same(network, merged, images)
    again = replayed(network, merged, recipe)
    assert torch.equal(again(images), merged(images))
    ours = timm.utils.reparameterize_model(network)
    assert same(ours, merged, images)  # timm's own way comes to the same
    kind = ImageKind.of(images)
    file = export_onnx(merged, tmp_path / "merged.onnx", 64, images=kind)
    session = onnx_session(file)
    (logits,) = session.run(None, {session.get_inputs()[0].name: images.numpy()})
    assert same(network, lambda _: torch.from_numpy(logits), images)
    if macs < 0.5:  # of the others a tenth to a quarter of the time is saved
        assert RelativeLatency(network, 64, kind).ratio(merged) < 0.6
