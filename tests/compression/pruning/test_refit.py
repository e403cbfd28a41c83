"""Layers that lose inputs, refitted to the outputs that they had."""

import copy
import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from compression import Context, Prune, compress
from compression.engine import with_moments
from compression.errors import CompressionError
from compression.layer_moments import InputMoments
from compression.pruning.refit import with_refit
from compression.recalibration import recalibrate
from compression.sensitivity import scan_key

STEP = {"ratio": 0.5, "scope": "uniform", "round_to": 1, "importance": "l2"}


def images(count: int, seed: int = 0) -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    found = torch.randn(count, 3, 10, 10, generator=generator).cumsum(-1)
    return list(zip(found.split(32), torch.zeros(count).long().split(32), strict=True))


BATCHES = images(288)  # of which 32 are held out


def pruned(network, batches=BATCHES, **settings):
    smaller, recipe = compress(
        network, [Prune(**STEP | settings)], sample=torch.rand(2, 3, 10, 10), batches=batches
    )
    return smaller, recipe.entries[-1].plan


class Doubled(nn.Module):
    """Every channel but those of the depthwise layer is there twice, the second time fainter."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 8, 3)
        self.deep = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.grouped = nn.Conv2d(8, 16, 3, groups=2, bias=False)
        self.norm = nn.BatchNorm2d(16)
        self.head = nn.Linear(16, 3)
        for layer in (self.stem, self.grouped):
            for weight in layer.parameters():
                runs = weight.data.unflatten(0, (getattr(layer, "groups", 1) * 2, 2, -1))
                runs[:, 1] = runs[:, 0] * 0.5
        self.stem.weight.data[4:6] *= 1.5
        self.deep.weight.data[:] = self.deep.weight.data[:1]
        self.deep.bias.data[:] = 0
        self.norm.eval()

    def forward(self, x):
        x = F.relu(self.deep(F.relu(self.stem(x))))
        return self.head(F.relu(self.norm(self.grouped(x))).mean((2, 3)))


@pytest.fixture(scope="module")
def doubled() -> nn.Module:
    network = Doubled().eval()
    recalibrate(network, BATCHES)
    return network


@torch.no_grad()
def test_what_others_can_say_is_not_lost(doubled):
    near, plan = pruned(doubled)
    far, blind = pruned(doubled, refit=False)
    assert set(plan["refit"]) == {"grouped", "head"} and plan["not_refit"] == {}
    assert {k: plan[k] for k in blind} == blind and "refit" not in blind
    errors = torch.tensor([how["error"] for how in plan["refit"].values()])
    assert (errors[:, 0] > 0.1).all() and (errors[:, 1] < 1e-3).all()
    others = images(64, 1)[0][0]
    whole = doubled(others)
    spread = whole.std(0)
    assert ((near(others) - whole).abs().amax(0) < 0.1 * spread).all()
    assert ((far(others) - whole).abs().amax(0) > spread).all()


def test_the_plan_says_it_and_replays(doubled):
    smaller, recipe = compress(
        doubled, [Prune(**STEP)], sample=torch.rand(2, 3, 10, 10), batches=BATCHES
    )
    plan = recipe.entries[-1].plan
    assert json.loads(json.dumps(plan)) == plan
    bare = recipe.replay(copy.deepcopy(doubled).to("meta"))
    assert {k: v.shape for k, v in bare.state_dict().items()} == {
        k: v.shape for k, v in smaller.state_dict().items()
    }
    (line,) = recipe.summary()[1:]
    assert line.startswith("prune: 2 layers refitted to their outputs on training images: squared")
    said = {layer: words for _, layer, words in recipe.layers()}
    assert said["head"].startswith("inputs refitted, squared output error 0.")
    assert said["grouped"].startswith("kept 8 of 16 channels (") and "refitted" in said["grouped"]


@torch.no_grad()
def test_resuming_takes_the_weights_from_elsewhere(doubled):
    step = Prune(**STEP)
    _, plan = pruned(doubled)
    _, blind = pruned(doubled, refit=False)
    first, second = step.apply(doubled, plan), step.apply(doubled, blind)
    for key, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[key])


@torch.no_grad()
def test_a_scan_judges_what_is_refitted(doubled):
    context = Context(
        sample=torch.rand(2, 3, 10, 10), image_size=(10, 10), train_batches=lambda: BATCHES
    )
    context, step = with_moments(context, doubled), Prune(**STEP)
    first, second = step.treatments(doubled, context, [0.5])
    assert (first.layer, second.layer) == ("stem", "grouped")
    assert set(first.plan()["refit"]) == {"grouped"} and set(second.plan()["refit"]) == {"head"}
    near = step.apply(doubled, second.plan(), context)
    torch.testing.assert_close(near(BATCHES[0][0]), doubled(BATCHES[0][0]), atol=2e-3, rtol=0)
    assert "refit" not in Prune(**STEP, refit=False).treatments(doubled, context, [0.5])[0].plan()
    keys = {scan_key(Prune(refit=how), doubled, context) for how in ("auto", True, False)}
    assert len(keys) == 3


def test_without_data(doubled):
    _, plan = pruned(doubled, batches=None)
    assert "refit" not in plan
    with pytest.raises(CompressionError, match=r"prune.refit=true needs training images"):
        pruned(doubled, batches=None, refit=True)
    with pytest.raises(CompressionError, match="prune.refit=yes .*; there are auto, true, false"):
        Prune(refit="yes")


def test_too_few_images(doubled):
    few = images(6)
    _, plan = pruned(doubled, few)
    assert plan["refit"].keys() == {"grouped"}  # 96 windows of 36 numbers
    assert plan["not_refit"] == {"head": "6 windows are too few for its 16 inputs"}
    _, plan = pruned(doubled, few, refit=True)
    assert plan["refit"]["head"]["ridge"] == 0.1 and plan["not_refit"] == {}


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1, 2, 3]), st.sampled_from([1, 3]), st.booleans())
@torch.no_grad()
def test_a_layer_comes_nearer_to_what_it_gave(seed, groups, side, bias):
    torch.manual_seed(seed)
    layer = nn.Conv2d(4 * groups, 3 * groups, side, groups=groups, bias=bias)
    given_images = torch.randn(40, 4 * groups, 4, 4).cumsum(1)
    inputs = torch.cat([4 * g + torch.randperm(4)[:3] for g in range(groups)]).tolist()
    outputs = torch.cat([3 * g + torch.randperm(3)[:2] for g in range(groups)]).tolist()
    axes = {"0.weight": {"0": 0, "1": 1}} | ({"0.bias": {"0": 0}} if bias else {})
    network = nn.Sequential(layer)
    plan = {
        "kept": [outputs, inputs],
        "axes": axes,
        "shapes": {name: list(network.get_parameter(name).shape) for name in axes},
        "groups": {"0.weight": groups},
    }
    context = Context(
        sample=given_images,
        image_size=(4, 4),
        moments=InputMoments(network, lambda: [(given_images, None)]),
    )
    plan = with_refit(plan, network, context, setting=True)
    assert set(plan["refit"]) == {"0"}
    step, wanted = Prune(), layer(given_images)[:, outputs]
    blind, near = (
        (step.apply(network, plan, how)(given_images[:, inputs]) - wanted).square().mean()
        for how in (None, context)
    )
    assert near < blind


class Odd(nn.Module):
    """Layers that cannot be refitted, and a subclass that can."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3)
        self.standard, self.same = Standardised(16, 4, 1), Same(16, 4, 3)
        self.up = nn.ConvTranspose2d(16, 4, 2)
        self.one = nn.Conv2d(16, 4, 1)
        self.other = nn.Conv2d(16, 4, 1)
        self.other.weight = self.one.weight
        self.called = nn.Conv2d(16, 4, 1)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        x = self.stem(x).relu()
        parts = [self.standard(x), self.same(x), self.up(x), self.one(x), self.other(x)]
        parts.append(F.conv2d(x, self.called.weight))
        return self.head(sum(part.mean((2, 3)) for part in parts))


class Standardised(nn.Conv2d):
    def forward(self, x):
        weight = self.weight / self.weight.std((1, 2, 3), keepdim=True)
        return F.conv2d(x, weight, self.bias)


class Same(nn.Conv2d):
    def forward(self, x):
        return F.conv2d(F.pad(x, (1, 1, 1, 1)), self.weight, self.bias)


def test_layers_of_other_kinds_say_why_not():
    torch.manual_seed(0)
    _, plan = pruned(Odd().eval(), exclude=["standard"], refit=True)
    assert set(plan["refit"]) == {"same"}
    assert plan["not_refit"] == {
        "standard": "Standardised makes other weights of its own",
        "up": "a ConvTranspose2d is not refitted",
        "one": "another layer has the same weights",
        "called": "the network does not call it",
    }
