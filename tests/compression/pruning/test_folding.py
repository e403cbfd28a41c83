"""Layers whose weights are made of other tensors are cut as the weights that they have."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import utils
from torch.nn.utils.parametrizations import orthogonal, spectral_norm, weight_norm
from torch.nn.utils.parametrize import is_parametrized

from compression import compress
from compression.errors import CompressionError
from compression.pruning import Prune
from compression.pruning.folding import fold, folded, parametrized_layers
from scripts.bench.masked import enliven, masked_difference

NORMS = {
    "weight_norm": weight_norm,
    "weight_norm over inputs": lambda layer: weight_norm(layer, dim=1),
    "spectral_norm": spectral_norm,
    "orthogonal": orthogonal,
    "weight_norm by a hook": utils.weight_norm,
    "spectral_norm by a hook": utils.spectral_norm,
}
pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")


class Normalized(nn.Module):
    """N x 3 x H x W -> N x 6; the middle convolution and the Linear are parametrised."""

    def __init__(self, norm):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 16, 3, padding=1), norm(nn.Conv2d(16, 32, 3, padding=1))
        self.c, self.out = norm(nn.Linear(32, 16)), nn.Linear(16, 6)

    def forward(self, x):
        x = self.b(torch.relu(self.a(x))).relu()
        x = nn.functional.adaptive_avg_pool2d(x, 1).flatten(1)
        return self.out(self.c(x).relu())


def pruned(network, **settings):
    settings = {"ratio": 0.5, "round_to": 1, "scope": "uniform", **settings}
    smaller, recipe = compress(network, [Prune(**settings)], sample=torch.rand(2, 3, 8, 8))
    return smaller, [entry.plan for entry in recipe.entries]


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("norm", NORMS)
def test_a_cut_layer_has_the_weight_that_it_had(norm, seed):
    torch.manual_seed(seed)
    network = enliven(Normalized(NORMS[norm]), seed)
    images = torch.rand(2, 3, 8, 8)
    before = network(images)
    smaller, (plan,) = pruned(network)
    assert plan["folded"] == ["b", "c"]
    assert (smaller.b.weight.shape, smaller.c.weight.shape) == ((16, 8, 3, 3), (8, 16))
    assert masked_difference(folded(network), smaller, plan, images) < 1e-5
    assert parametrized_layers(network) == ["b", "c"] and torch.equal(network(images), before)
    again = Prune.restructure(Normalized(NORMS[norm]), plan)
    again.load_state_dict(smaller.state_dict())
    assert torch.equal(again.eval()(images), smaller(images))


def test_a_layer_that_is_not_cut_keeps_its_norm():
    network = enliven(Normalized(weight_norm))
    smaller, (plan,) = pruned(network, exclude=["a", "b"])
    assert plan["folded"] == ["c"]
    assert is_parametrized(smaller.b) and not is_parametrized(smaller.c)
    assert masked_difference(folded(network), smaller, plan, torch.rand(2, 3, 8, 8)) < 1e-5


def test_folding_keeps_the_answer_and_what_learns():
    network = Normalized(weight_norm)
    network.c.requires_grad_(False)
    images = torch.rand(2, 3, 8, 8)
    plain = folded(network.train())
    assert torch.allclose(plain(images), network(images))
    assert parametrized_layers(plain) == [] and parametrized_layers(network) == ["b", "c"]
    assert plain.b.weight.requires_grad and not plain.c.weight.requires_grad
    assert type(plain.b) is nn.Conv2d and plain.training
    assert copy.deepcopy(network).b.weight.shape == (32, 16, 3, 3)


def test_a_second_round_finds_plain_weights():
    smaller, plans = pruned(enliven(Normalized(weight_norm)), rounds=2)
    assert plans[0]["folded"] == ["b", "c"] and "folded" not in plans[1]
    assert smaller.b.weight.shape == (16, 8, 3, 3)


def test_plain_weights_stay():
    network = Normalized(lambda layer: layer)
    assert folded(network) is network and fold(network, ["b"]).b.weight is network.b.weight


def test_a_plan_of_another_network_is_refused():
    _, (plan,) = pruned(enliven(Normalized(weight_norm)))
    other = Normalized(weight_norm)
    other.b = nn.Conv2d(16, 40, 3, padding=1)
    with pytest.raises(CompressionError, match=r"another architecture: 'b.bias' has the shape"):
        Prune.restructure(other, plan)
