"""Tensors of the smaller sizes: those that several modules share stay shared."""

import pytest
import torch
from torch import nn

from compression import compress
from compression.pruning import Prune
from scripts.bench.masked import enliven, masked_difference


def pooled(x):
    return nn.functional.adaptive_avg_pool2d(x.relu(), 1).flatten(1)


class TiedConvolutions(nn.Module):
    """Two convolutions with one weight, and biases of their own; N x 3 x H x W -> N x 6."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.a, self.b = nn.Conv2d(16, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1)
        self.b.weight = self.a.weight
        self.out = nn.Linear(16, 6)

    def forward(self, x):
        return self.out(pooled(self.b(self.a(self.stem(x)).relu())))


class TiedLinear(TiedConvolutions):
    """An autoencoder's two ends: one weight, once as it is and once turned round."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(16, 32)
        self.inner_bias = nn.Parameter(torch.zeros(16))
        self.twin = nn.Linear(16, 32)
        self.twin.weight = self.inner.weight

    def forward(self, x):
        x = pooled(self.stem(x))
        x = nn.functional.linear(self.inner(x).relu(), self.twin.weight.T, self.inner_bias)
        return self.out(x)


class TiedNorm(TiedConvolutions):
    """Two norms with one scale, and statistics of their own."""

    def __init__(self):
        super().__init__()
        self.m, self.n = nn.BatchNorm2d(16), nn.BatchNorm2d(16)
        self.n.weight = self.m.weight

    def forward(self, x):
        x = self.n(self.a(self.m(self.stem(x)).relu()))
        return self.out(pooled(x))


PAIRS = {
    TiedConvolutions: ("a.weight", "b.weight"),
    TiedLinear: ("inner.weight", "twin.weight"),
    TiedNorm: ("m.weight", "n.weight"),
}


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("kind", PAIRS)
def test_what_is_tied_is_cut_together_and_stays_tied(kind, seed):
    torch.manual_seed(seed)
    network, images = enliven(kind(), seed), torch.rand(2, 3, 8, 8)
    smaller, recipe = compress(network, [Prune(ratio=0.5, round_to=1)], sample=images)
    plan = recipe.entries[0].plan
    one, other = (smaller.get_parameter(name) for name in PAIRS[kind])
    assert one is other and one.numel() < network.get_parameter(PAIRS[kind][0]).numel()
    assert masked_difference(network, smaller, plan, images) < 1e-5
    again = Prune.restructure(kind(), plan)
    again.load_state_dict(smaller.state_dict())
    assert torch.equal(again.eval()(images), smaller(images))
    assert again.get_parameter(PAIRS[kind][0]) is again.get_parameter(PAIRS[kind][1])
