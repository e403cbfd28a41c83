"""The contract of a step: what a step of somebody's own may be written like."""

import pytest
import torch
from torch import nn

from compression import Step, compress


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


BATCHES = [(torch.rand(4, 3, 8, 8), torch.zeros(4, dtype=torch.int64))]


@pytest.mark.parametrize("batches", [None, BATCHES])
def test_weights_are_fitted_where_there_is_data(batches):
    class Fitted(Step):
        def plan(self, network, context, round):
            return {"positions": context.moments and context.moments.of("1")["1"].positions}

        @staticmethod
        def restructure(network, plan):
            return network

        def fit_weights(self, network, smaller, plan, context):
            assert context.moments.network is network and smaller is not network
            smaller[1].weight.fill_(2.0)

    network = nn.Sequential(nn.Flatten(), nn.Linear(192, 2))
    smaller, recipe = compress(network, [Fitted()], sample=BATCHES[0][0], batches=batches)
    assert recipe.entries[0].plan == {"positions": batches and 4}
    assert bool((smaller[1].weight == 2).all()) == (batches is not None)


def test_an_apply_of_a_former_version_is_not_given_the_context():
    class Former(Step):
        def plan(self, network, context, round):
            return {"value": 3.0}

        def apply(self, network, plan):
            """As before."""
            with torch.no_grad():
                network[1].weight.fill_(plan["value"])
            return network

    assert Former.apply.__doc__ == "As before."
    network = nn.Sequential(nn.Flatten(), nn.Linear(192, 2))
    smaller, _ = compress(network, [Former()], sample=BATCHES[0][0], batches=BATCHES)
    assert (smaller[1].weight == 3).all()
