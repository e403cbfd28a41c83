import copy

import pytest
import torch
from torch import nn

from compression.engine import recalibrate


@pytest.fixture
def batches():
    generator = torch.Generator().manual_seed(3)
    return [(torch.rand(n, 3, 12, 12, generator=generator), None) for n in (4, 6, 3)]


def test_is_the_average_over_batches(network, batches):
    weights = {k: v.clone() for k, v in network.named_parameters()}
    network[1].momentum = 0.3
    recalibrate(network, batches)
    first = [network[0](images).detach() for images, _ in batches]
    mean = torch.stack([x.mean((0, 2, 3)) for x in first]).mean(0)
    variance = torch.stack([x.var((0, 2, 3)) for x in first]).mean(0)
    torch.testing.assert_close(network[1].running_mean, mean)
    torch.testing.assert_close(network[1].running_var, variance)
    # The second layer sees what the first one normalised by each batch's own statistics.
    norm = nn.functional.batch_norm
    second = [network[3](norm(x, None, None, training=True).relu()) for x in first]
    mean = torch.stack([x.mean((0, 2, 3)) for x in second]).mean(0)
    torch.testing.assert_close(network[4].running_mean, mean.detach())
    assert network[1].momentum == 0.3 and network[4].momentum == 0.1
    assert all(torch.equal(weights[k], v) for k, v in network.named_parameters())
    assert all(v.grad is None for v in network.parameters())


def test_modes_come_back_and_dropout_stays_off(batches):
    dropout = nn.Dropout(0.9)
    network = nn.Sequential(dropout, nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).train()
    network[2].eval()
    again = copy.deepcopy(network)
    for each in (network, again):
        recalibrate(each, batches)
    assert [m.training for m in network] == [True, True, False]
    assert torch.equal(network[2].running_var, again[2].running_var)


def test_takes_no_more_batches_than_asked(network, batches):
    endless = iter(lambda: batches[0], None)
    recalibrate(network, endless, max_batches=2)
    assert network[1].num_batches_tracked == 2


@pytest.mark.parametrize("none", [[], [(torch.rand(1, 3, 12, 12), None)]])
def test_without_usable_batches_nothing_changes(network, none):
    before = {k: v.clone() for k, v in network.state_dict().items()}
    recalibrate(network, none)
    assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())


def test_without_batchnorm_nothing_is_read():
    recalibrate(nn.Linear(2, 2), iter(lambda: pytest.fail("read a batch"), None))
