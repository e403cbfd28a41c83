"""The contract of a step: what a step of somebody's own may be written like."""

import pytest
import torch
from torch import nn

from compression import Step


def test_a_step_with_a_member_by_its_former_name_still_counts():
    with pytest.warns(UserWarning, match="Halved.carry is called transfer_weights now"):

        class Halved(Step):
            name = "halved"

            @staticmethod
            def restructure(network, plan):
                return network

            def carry(self, network, smaller, plan):
                smaller.weight.mul_(0.5)

    network = nn.Linear(2, 2)
    smaller = Halved().apply(network, {})
    torch.testing.assert_close(smaller.weight, network.weight / 2)


def test_a_step_by_present_names_is_taken_as_it_is(recwarn):
    class Same(Step):
        def transfer_weights(self, network, smaller, plan):
            pass

    assert not recwarn.list
    assert not hasattr(Same, "carry")
