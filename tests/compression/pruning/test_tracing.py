"""What a trace counts of a network, against what is counted without one."""

import pytest
import torch

from compression.cost import count_macs
from compression.pruning.tracing import trace_channels
from tests.compression.pruning.kin import KIN
from tests.fixtures.cases.networks import NETWORKS

CASES = [*((make, 64) for make in NETWORKS.values()), *((make, 16) for make in KIN.values())]


def check_macs(make, size: int) -> None:
    torch.manual_seed(0)
    network = make().eval()
    with torch.no_grad():
        network(torch.rand(2, 3, size, size))  # lazy layers learn their sizes
    trace = trace_channels(network, size)
    assert trace.macs.total() + trace.other_macs == count_macs(network, size)


@pytest.mark.parametrize(("make", "size"), [(NETWORKS["Recurrent"], 64), (KIN["Recurrences"], 16)])
def test_products_of_layers_that_are_not_looked_into_are_counted(make, size):
    check_macs(make, size)


@pytest.mark.slow
@pytest.mark.parametrize(("make", "size"), CASES)
def test_all_macs_are_of_a_weight_or_of_others(make, size):
    check_macs(make, size)
