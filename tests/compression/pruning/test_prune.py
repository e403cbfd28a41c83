import copy
import json

import pytest
import torch
from torch import nn

from compression import Context, Recipe, compress
from compression.cost.macs import count_macs, count_params
from compression.errors import CompressionError
from compression.factorization.tucker import Tucker
from compression.pruning.prune import Prune
from compression.pruning.prune_layers import PruneLayers
from lightning_modules.networks import load_network, save_network
from tests.compression.pruning.conftest import silenced


class Attention(nn.Module):
    """Channels in a shape that is written down, as attention code often has it."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads, self.width = heads, channels // heads
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)

    def forward(self, x):
        n, t, _ = x.shape
        q, k, v = self.qkv(x).reshape(n, t, 3, self.heads, self.width).permute(2, 0, 3, 1, 4)
        y = (q @ k.transpose(-1, -2)).softmax(-1) @ v
        return x + self.proj(y.transpose(1, 2).reshape(n, t, -1))


class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 16, 4, 4)
        self.position = nn.Parameter(torch.randn(1, 16, 64))
        self.attention = nn.Sequential(Attention(16, 4), Attention(16, 4))
        self.hidden = nn.Linear(16, 64)
        self.out = nn.Linear(64, 16)
        self.head = nn.Linear(16, 3)

    def forward(self, x):
        x = (self.patch(x).flatten(2) + self.position).transpose(1, 2)
        x = self.attention(x)
        x = x + self.out(self.hidden(x).relu())
        return self.head(x.mean(1))


@pytest.fixture
def tokens():
    torch.manual_seed(0)
    return Tokens().eval(), torch.rand(2, 3, 32, 32)


def plan_of(recipe: Recipe) -> dict:
    return recipe.entries[-1].plan


@pytest.mark.parametrize(
    ("option", "size", "changes"),
    [
        ("shufflenet_g3", 32, {"units": [2, 2, 2]}),
        ("shufflenet_v2", 32, {}),
        pytest.param("resnet", 32, {}, marks=pytest.mark.slow),
        pytest.param("mobilenet_v3", 32, {}, marks=pytest.mark.slow),
        pytest.param("regnet", 64, {}, marks=pytest.mark.slow),
        pytest.param("densenet", 64, {}, marks=pytest.mark.slow),
        pytest.param("googlenet", 96, {}, marks=pytest.mark.slow),
        pytest.param("efficientnet", 64, {}, marks=pytest.mark.slow),
        pytest.param("blocks/ghostnet_like", 64, {}, marks=pytest.mark.slow),
    ],
)
def test_what_is_left_computes_the_same(built, option, size, changes):
    """Channel shuffle, groups, concatenation, residuals and squeeze-excite, by a reference."""
    network, images = built(option, size, **changes)
    before = copy.deepcopy(network.state_dict())
    smaller, recipe = compress(network, [Prune(target={"macs": 0.6})], sample=images)
    assert count_macs(smaller, size) / count_macs(network, size) == pytest.approx(0.6, rel=0.0201)
    expected = silenced(network, plan_of(recipe))(images)
    torch.testing.assert_close(smaller(images), expected, atol=2e-5, rtol=1e-5)
    assert not torch.allclose(network(images), expected, rtol=1e-3)
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


def test_a_chain_is_saved_and_reloaded(built, tmp_path):
    network, images = built("shufflenet_g3")
    steps = [PruneLayers(keep=[2, 5, 2]), Prune(target={"params": 0.8}), Tucker(ratio=0.5)]
    smaller, recipe = compress(network, steps, sample=images)
    between = PruneLayers.restructure(copy.deepcopy(network), recipe.entries[0].plan)
    pruned = Prune.restructure(copy.deepcopy(between), recipe.entries[1].plan)
    assert count_params(pruned) / count_params(between) == pytest.approx(0.8, rel=0.0201)
    save_network(smaller, tmp_path)
    loaded = load_network(tmp_path)
    assert torch.equal(loaded(images), smaller(images))
    smaller.train()(images).sum().backward()
    assert all(p.grad is not None for p in smaller.parameters())


def test_plan_is_json_and_replays_on_meta(built):
    network, images = built("shufflenet_g3", units=[2, 2, 1])
    context = Context(sample=images, image_size=(32, 32), entry_cost={
        "macs": count_macs(network, 32), "params": count_params(network)})  # fmt: skip
    step = Prune(target={"macs": 0.7}, rounds=2)
    plan = step.plan(network, context, 0)
    assert json.loads(json.dumps(plan)) == plan
    once = step.apply(network, plan)
    assert count_macs(once, 32) / count_macs(network, 32) == pytest.approx(0.85, rel=0.021)
    twice = step.apply(once, step.plan(once, context, 1))
    assert count_macs(twice, 32) / count_macs(network, 32) == pytest.approx(0.7, rel=0.021)
    bare = step.restructure(copy.deepcopy(network).to("meta"), plan)
    assert {k: v.shape for k, v in bare.state_dict().items()} == {
        k: v.shape for k, v in once.state_dict().items()
    }


def test_what_the_code_writes_down_stays(tokens):
    network, images = tokens
    smaller, recipe = compress(network, [Prune(target={"macs": 0.85})], sample=images)
    assert smaller.hidden.out_features < 64 == network.hidden.out_features
    assert smaller.attention[1].qkv.out_features == 48  # its inputs may be fewer
    assert set(plan_of(recipe)["left"].values()) == {"fixed by the code of Attention"}
    expected = silenced(network, plan_of(recipe))(images)
    torch.testing.assert_close(smaller(images), expected)
    with pytest.raises(CompressionError, match=r"target.macs=0.2 cannot be reached: .* to between"):
        compress(network, [Prune(target={"macs": 0.2})], sample=images)


def convolutions() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 32, 3), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Conv2d(32, 64, 3), nn.BatchNorm2d(64), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 3),
    ).eval()  # fmt: skip


def kept_of(recipe: Recipe, name: str) -> list[int]:
    plan = plan_of(recipe)
    return plan["kept"][plan["axes"][name]["0"]]


@pytest.mark.parametrize(
    ("importance", "score"),
    [
        ("l1", lambda w, g: w.abs().flatten(1).sum(1)),
        ("l2", lambda w, g: w.square().flatten(1).sum(1)),
        ("bn_scale", lambda w, g: g),
        ("fpgm", lambda w, g: torch.cdist(w.flatten(1), w.flatten(1)).sum(1)),
        ("lamp", lambda w, g: w.square().flatten(1).sum(1)),
    ],
)
def test_the_least_important_go(importance, score):
    network, images = convolutions(), torch.rand(2, 3, 12, 12)
    network[1].weight.data = torch.rand(32)
    network[3].weight.data.fill_(0.1)  # axis 1 tells no channels apart
    step = Prune(ratio=0.5, scope="uniform", importance=importance)
    _, recipe = compress(network, [step], sample=images)
    scores = score(network[0].weight.data, network[1].weight.data)
    assert kept_of(recipe, "0.weight") == sorted(scores.topk(16).indices.tolist())
    assert kept_of(recipe, "0.weight") == kept_of(recipe, "1.running_mean")


def test_taylor_is_the_change_of_the_loss():
    network, images = convolutions(), torch.rand(2, 3, 12, 12)
    # The first channels are not read by anybody: the loss does not depend on them.
    network[3].weight.data[:, :16] = 0
    step = Prune(ratio=0.5, scope="uniform", importance="taylor", exclude=["3"])
    batches = [(images, torch.tensor([0, 1]))]
    _, recipe = compress(network, [step], sample=images, batches=batches)
    assert kept_of(recipe, "0.weight") == list(range(16, 32))
    with pytest.raises(CompressionError, match="taylor is measured on data, and there is none"):
        compress(network, [step], sample=images)


def test_random_follows_the_seed():
    images, step = torch.rand(2, 3, 12, 12), Prune(ratio=0.5, importance="random")
    plans = [
        plan_of(compress(convolutions(), [step], sample=images, seed=seed)[1]) for seed in (0, 0, 1)
    ]
    assert plans[0] == plans[1] != plans[2]


def test_says_what_was_done():
    step = Prune(ratio=0.5, scope="uniform", exclude=["3"])
    smaller, recipe = compress(convolutions(), [step], sample=torch.rand(1, 3, 12, 12))
    assert recipe.summary() == [
        "prune: kept 16 of 32 channels, 1 layer cut (l2, uniform: 0.5 of the channels)",
        "prune: 1 left alone: excluded",
    ]
    assert recipe.layers() == [
        ("prune", "3", "left alone: excluded"),
        ("prune", "0", "kept 16 of 32 channels (l2, uniform: 0.5 of the channels)"),
    ]
    assert (smaller[0].out_channels, smaller[3].in_channels, smaller[1].num_features) == (16,) * 3
    assert smaller[8].out_features == 3


def test_unknown_operations_hold_their_channels():
    class Sorted(nn.Module):
        def forward(self, x):
            return x.sort(1).values

    network = convolutions()
    network[5] = Sorted()
    smaller, recipe = compress(network, [Prune(ratio=0.5)], sample=torch.rand(1, 3, 12, 12))
    assert smaller[3].out_channels == 64 and smaller[0].out_channels == 16
    assert "prune: 1 left alone: its channels enter sort in 5 (3)" in recipe.summary()
    network[2] = Sorted()
    with pytest.raises(CompressionError, match=r"no channels out .*operation sort in 2.* nothing"):
        compress(network, [Prune(ratio=0.5)], sample=torch.rand(1, 3, 12, 12))


def test_refusals():
    network, images = convolutions(), torch.rand(1, 3, 12, 12)
    for asked, says in [
        ({"ratio": 0.5, "exclude": ["conv"]}, "'conv'; the nearest names are"),
        ({"ratio": 0.5, "importance": "bn_scale"}, "all BatchNorm scales are equal"),
        ({"target": {"macs": 0.001}}, r"cannot be reached: .* to between 0\.\d+ and 1"),
        ({"ratio": 1.0}, "would take out no channel"),
    ]:
        with pytest.raises(CompressionError, match=says):
            compress(network, [Prune(**asked)], sample=images)
    for asked, says in [
        ({"ratio": 0.5, "target": {"macs": 0.5}}, "or ratio, not both"),
        ({"ratio": 0}, r"\(0, 1\]"),
        ({"target": {"macs": 1.5}}, r"\(0, 1\]"),
        ({"ratio": 0.5, "importance": "l3"}, "l1, l2"),
        ({"ratio": 0.5, "scope": "all"}, "global, uniform"),
        ({"ratio": 0.5, "round_to": 0}, "round_to"),
        ({"ratio": 0.5, "min_ratio": 2}, "min_ratio"),
        ({"rounds": True}, "prune.rounds=true is not allowed; it must be a number from 1"),
        ({"importance": None}, "prune.importance=null does not exist; there are auto, l1"),
        ({"min_ratio": None}, "prune.min_ratio=null is not allowed; it must be a ratio"),
        ({"penalty_strength": 0}, "prune.penalty_strength=0 is not allowed; it must be above 0"),
        ({"penalty": "l1"}, "bn_scale, group_norm"),
    ]:
        with pytest.raises(CompressionError, match=says):
            Prune(**asked)
    _, recipe = compress(network, [Prune(ratio=0.5)], sample=images)
    with pytest.raises(CompressionError, match=r"'0.weight' is missing instead of \[32, 3, 3, 3\]"):
        recipe.replay(nn.Sequential(nn.Flatten()))
    # Never zero: even where a layer is asked to give up all it can, a share stays.
    smaller, _ = compress(network, [Prune(ratio=1e-6, min_ratio=1e-6)], sample=images)
    assert smaller[0].out_channels >= 1 and smaller[3].out_channels >= 1


def test_standardised_weights_are_followed():
    class Standardised(nn.Conv2d):
        """Its weights normalised in every pass, with a gain for each filter."""

        def __init__(self, *sizes: int) -> None:
            super().__init__(*sizes)
            self.gain = nn.Parameter(torch.rand(sizes[1], 1, 1, 1))

        def forward(self, x):
            flat = self.weight.reshape(1, len(self.weight), -1)
            gain = (self.gain * 0.5).view(-1)
            flat = nn.functional.batch_norm(flat, None, None, weight=gain, training=True)
            return nn.functional.conv2d(x, flat.reshape_as(self.weight), self.bias)

    network, images = convolutions(), torch.rand(2, 3, 12, 12)
    network[3] = Standardised(32, 64, 3)
    smaller, recipe = compress(network, [Prune(ratio=0.5)], sample=images)
    assert smaller[3].weight.shape[0] == smaller[3].gain.shape[0] < 64
    assert smaller[3].weight.shape[1] == smaller[0].out_channels < 32
    assert smaller(images).shape == (2, 3)
    assert not plan_of(recipe)["left"] and not plan_of(recipe)["unknown"]
