"""Groups of the same structure, and that channels compete inside one only."""

from functools import cache
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from compression import Prune, compress
from compression.pruning import Importance
from compression.pruning.allocation import global_ratios
from compression.pruning.channel_groups import Channels
from compression.pruning.isomorphism import group_structures
from compression.pruning.tracing import trace_channels


def classes(network: nn.Module, size: int) -> list[list[str]]:
    """The names of the groups of each structure, in the order in which they are met."""
    channels = Channels(trace_channels(network, size))
    found: dict = {}
    structures = group_structures(channels, channels.groups, network)
    for group, structure in zip(channels.groups, structures, strict=True):
        found.setdefault(structure, []).append(group.name)
    return list(found.values())


def block(inner, outer, kernel=3, act=nn.ReLU, groups=1):
    conv = nn.Conv2d(inner, outer, kernel, padding=kernel // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(outer), act()]


def tail(width):
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 3)]


@pytest.mark.parametrize(
    ("changes", "together"),
    [
        ({}, True),
        ({"outer": 48}, True),  # widths are no structure
        ({"kernel": 5}, False),
        ({"act": nn.SiLU}, False),
        ({"groups": 2}, False),
    ],
)
def test_what_structure_is(changes, together):
    """Layers 3 and 6 of five; the group of a layer ends in the one behind it."""
    wide = changes.pop("outer", 16)
    network = nn.Sequential(
        *block(3, 16), *block(16, 16), *block(16, wide, **changes), *block(wide, 16),
        *block(16, 16), *tail(16),
    ).eval()  # fmt: skip
    found = classes(network, 8)
    [own] = [names for names in found if "3" in names]
    assert ("6" in own) == together
    assert ["12"] in found  # a linear layer reads it


def test_a_depthwise_convolution_tells_groups_apart():
    network = nn.Sequential(
        *block(3, 16, 1), *block(16, 16, 3, groups=16), *block(16, 16, 1), *block(16, 16, 1),
        *block(16, 16, 1), *tail(16),
    ).eval()  # fmt: skip
    assert classes(network, 8) == [["0"], ["6", "9"], ["12"]]


@cache
def timm_classes(name: str, size: int) -> list[list[str]]:
    return classes(timm.create_model(name, num_classes=3).eval(), size)


def test_of_a_vision_transformer():
    width, heads, hidden = timm_classes("test_vit", 160)
    assert width == ["patch_embed.proj"]
    assert heads == [f"blocks.{n}.attn.qkv" for n in range(6)]
    assert hidden == [f"blocks.{n}.mlp.fc1" for n in range(6)]


def test_of_a_convnext():
    found = timm_classes("test_convnext", 64)
    hidden = [
        f"stages.{s}.blocks.{b}.mlp.fc1" for s, n in enumerate((1, 2, 4, 2)) for b in range(n)
    ]
    assert hidden in found  # of blocks in four widths
    streams = ["stem.0", *(f"stages.{s}.downsample.1" for s in (1, 2, 3))]
    assert sorted(found) == sorted([hidden, *([name] for name in streams)])  # of other depths


def test_of_an_efficientnet():
    found = timm_classes("test_efficientnet", 64)
    assert ["blocks.3.0.conv_pw", "blocks.4.0.conv_pw"] in found  # with squeeze and excite
    assert ["blocks.3.0.se.conv_reduce", "blocks.4.0.se.conv_reduce"] in found
    assert ["blocks.1.0.conv_exp", "blocks.2.0.conv_exp"] in found  # fused


def ranked(scores, labels, *, normalize):
    """Ratios of groups of channels with these scores."""
    groups = [SimpleNamespace(signatures=[n]) for n in range(len(scores))]
    bounds = np.cumsum([0, *map(len, scores)])
    members = {(n, False): list(range(a, b)) for n, (a, b) in enumerate(pairwise(bounds))}
    return global_ratios(
        SimpleNamespace(groups=groups), SimpleNamespace(members=members), np.concatenate(scores),
        normalize=normalize, classes=labels,
    )  # fmt: skip


SCORES = st.lists(st.lists(st.floats(0.01, 100), min_size=1, max_size=6), min_size=1, max_size=4)


@settings(max_examples=50, deadline=None)
@given(scores=SCORES, ratio=st.floats(0, 1), normalize=st.booleans())
def test_one_class_is_global(scores, ratio, normalize):
    scores = [np.array(own) for own in scores]
    isomorphic = ranked(scores, ["same"] * len(scores), normalize=normalize)
    assert isomorphic(ratio) == ranked(scores, None, normalize=normalize)(ratio)


@settings(max_examples=50, deadline=None)
@given(scores=SCORES, ratio=st.floats(0, 1), seed=st.integers(0, 9))
def test_each_class_is_global_by_itself(scores, ratio, seed):
    scores = [np.array(own) for own in scores]
    labels = np.random.default_rng(seed).integers(0, 2, len(scores)).tolist()
    found = ranked(scores, labels, normalize=True)(ratio)
    for label in {*labels}:
        numbers = [n for n, own in enumerate(labels) if own == label]
        alone = ranked([scores[n] for n in numbers], None, normalize=True)(ratio)
        assert [found[n] for n in numbers] == alone


class Kernel(Importance):
    """Windows of 5 x 5 are worth a hundred times as much, channels more by their number."""

    normalized = False

    def slices(self, network, channels, context):
        return {
            (name, 0): torch.arange(1.0, 1 + len(p)) * (100 if p.shape[-1] == 5 else 1)
            for name, p in network.named_parameters()
            if p.ndim == 4
        }


@pytest.mark.parametrize(
    ("scope", "kept"),
    [
        # 24 of 48 channels above one threshold: all of 5 x 5, and the last eight of others
        ("global", {"0": 4, "3": 16, "6": 4}),
        # 16 of the 32 of 3 x 3, and half of the 5 x 5
        ("isomorphic", {"0": 8, "3": 8, "6": 8}),
    ],
)
def test_every_class_keeps_the_ratio(scope, kept):
    network = nn.Sequential(
        *block(3, 16), *block(16, 16, 5), *block(16, 16), *tail(16)
    ).eval()  # fmt: skip
    step = Prune(ratio=0.5, scope=scope, importance=Kernel(), round_to=1)
    smaller, recipe = compress(network, [step], sample=torch.rand(1, 3, 8, 8))
    plan = recipe.entries[0].plan
    assert {name: after for name, after, _ in plan["layers"]} == kept
    assert smaller[3].out_channels == kept["3"]
    assert f"Kernel, {scope}: 0.5 of the channels" in plan["why"]


def test_a_target_is_met():
    torch.manual_seed(0)
    network = nn.Sequential(
        *block(3, 32), *block(32, 32), *block(32, 64, 5), *block(64, 32), *block(32, 32), *tail(32)
    ).eval()  # fmt: skip
    step = Prune(target={"macs": 0.5}, scope="isomorphic", round_to=1)
    _, recipe = compress(network, [step], sample=torch.rand(1, 3, 8, 8))
    assert "isomorphic: 49.8% of the MACs" in recipe.summary()[0]
    kept = {name: after for name, after, _ in recipe.entries[0].plan["layers"]}
    assert kept["0"] + kept["9"] == pytest.approx(64 * 0.7, abs=1)  # one structure, one ratio
