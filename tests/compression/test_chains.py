"""Random chains on random networks: what was done can be done again from the recipe alone."""

import copy

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from compression import Recipe, compress
from compression.errors import CompressionError
from compression.factorization.tucker import Tucker
from compression.pruning.prune import Prune
from compression.pruning.prune_layers import PruneLayers
from compression.pruning.prune_weights import PruneWeights


class Shuffle(nn.Module):
    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x):
        return x.unflatten(1, (self.groups, -1)).transpose(1, 2).flatten(1, 2)


class Unit(nn.Module):
    """Residual, with one of several insides; in every second one half of the channels passes by."""

    def __init__(self, channels: int, middle: int, kind: str) -> None:
        super().__init__()
        groups = {"plain": 1, "grouped": 2, "shuffled": 2, "depthwise": middle, "split": 1}[kind]
        self.split = kind == "split"
        own = channels // 2 if self.split else channels
        self.inside = nn.Sequential(
            nn.Conv2d(own, middle, 1, groups=1 if kind in ("plain", "split", "depthwise") else 2),
            Shuffle(2) if kind == "shuffled" else nn.ReLU(),
            nn.Conv2d(middle, middle, 3, padding=1, groups=groups),
            nn.BatchNorm2d(middle),
            nn.Conv2d(middle, own, 1),
        )

    def forward(self, x):
        if self.split:
            left, right = x.chunk(2, dim=1)
            return Shuffle(2)(torch.cat((left, self.inside(right)), dim=1))
        return x + self.inside(x)


KINDS = st.sampled_from(["plain", "grouped", "shuffled", "depthwise", "split"])
UNITS = st.lists(st.tuples(st.sampled_from([8, 12, 16]), KINDS), min_size=1, max_size=3)
STEP = st.one_of(
    st.builds(
        Prune,
        target=st.fixed_dictionaries({"macs": st.floats(0.5, 0.95)}),
        scope=st.sampled_from(["global", "uniform"]),
        importance=st.sampled_from(["l1", "l2", "fpgm", "lamp", "random"]),
        rounds=st.integers(1, 2),
    ),
    st.builds(PruneLayers, target=st.fixed_dictionaries({"params": st.floats(0.4, 0.9)})),
    st.builds(Tucker, ratio=st.floats(0.2, 0.8)),
    st.builds(PruneWeights, sparsity=st.floats(0.1, 0.9)),
)


def network_of(channels: int, units: list[tuple[int, str]]) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, channels, 3, stride=2),
        nn.BatchNorm2d(channels),
        nn.Sequential(*(Unit(channels, middle, kind) for middle, kind in units)),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(channels, 3),
    ).eval()


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    channels=st.sampled_from([8, 16, 24]),
    units=UNITS,
    steps=st.lists(STEP, min_size=1, max_size=3),
    seed=st.integers(0, 9),
)
def test_random_chains_replay(channels, units, steps, seed):
    network, images = network_of(channels, units), torch.rand(2, 3, 12, 12)
    before = copy.deepcopy(network.state_dict())
    smaller, recipe = network, Recipe()
    for step in steps:
        try:
            smaller, own = compress(smaller, [step], sample=images, seed=seed)
        except CompressionError:  # such as a target out of reach: then nothing has changed
            continue
        recipe.entries += own.entries
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    again = Recipe.from_json(recipe.to_json()).replay(copy.deepcopy(network).to("meta"))
    again.load_state_dict(smaller.state_dict(), assign=True)
    assert torch.equal(again(images), smaller(images))
    assert again(images).shape == (2, 3)
