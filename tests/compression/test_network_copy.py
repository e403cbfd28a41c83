import pytest
import torch
from torch import nn
from torch.nn.utils import prune, spectral_norm, weight_norm

from compression.network_copy import copy_network


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
@pytest.mark.parametrize(
    "change",
    [
        lambda layer: layer,
        lambda layer: prune.l1_unstructured(layer, "weight", 0.5),
        lambda layer: prune.random_structured(layer, "weight", 0.5, dim=0),
        weight_norm,
        spectral_norm,
        nn.utils.parametrizations.weight_norm,
    ],
)
def test_a_network_that_has_run_is_copied(change):
    network, x = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 2)).eval(), torch.rand(3, 4)
    change(network[0])
    network(x)  # computes the weight, which is no leaf then
    expected, twin = network(x), copy_network(network)
    assert torch.equal(twin(x), expected)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.add_(1)
    assert not torch.equal(twin(x), expected) and torch.equal(network(x), expected)


def test_lazy_layers_stay_lazy():
    twin = copy_network(nn.Sequential(nn.LazyLinear(3)))
    assert twin(torch.rand(2, 5)).shape == (2, 3)
