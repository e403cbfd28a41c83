import copy

import pytest
import torch
from torch import nn

from compression import Step, compress
from compression.engine import check_order, run_round
from compression.errors import CompressionError
from compression.factorization.tucker import Tucker
from compression.recalibration import recalibrate
from compression.recipe import Entry, Recipe


class Silence(Step):
    """Turns a layer off; used to follow the engine."""

    name = "silence"
    version = 3

    def __init__(self, *, rounds: int = 1, last: bool = False, plan: object = "2") -> None:
        self.rounds, self.last, self.planned = rounds, last, plan

    def plan(self, network, context, round):
        return {"layer": self.planned, "macs": context.entry_cost.get("macs")}

    @staticmethod
    def restructure(network, plan):
        network.set_submodule(plan["layer"], nn.Identity())
        return network

    def finish(self, network):
        network.finished = True
        return network


def test_rounds_fine_tuning_and_finish(network, sample):
    seen = []

    def fine_tune(net, step, round):
        assert not hasattr(net, "finished")
        seen.append((step.name, round))

    steps = [Silence(rounds=2), Silence(plan="5")]
    steps[0].finish = lambda net: net
    smaller, recipe = compress(network, steps, sample=sample, fine_tune=fine_tune)
    assert seen == [("silence", 0), ("silence", 1), ("silence", 0)]
    assert isinstance(smaller[2], nn.Identity) and isinstance(smaller[5], nn.Identity)
    assert isinstance(network[2], nn.ReLU) and smaller.finished
    assert len({entry.plan["macs"] for entry in recipe.entries}) == 1


def test_fine_tuning_may_return_another_network(network, sample):
    other = nn.Sequential()
    assert compress(network, [Silence()], sample=sample, fine_tune=lambda *_: other)[0] is other


def test_batchnorm_is_recalibrated(network, sample):
    still, _ = compress(network, [Tucker()], sample=sample)
    tuned, _ = compress(network, [Tucker()], sample=sample, batches=[(sample, None)])
    assert torch.equal(still[1].running_mean, network[1].running_mean)
    assert not torch.equal(tuned[1].running_mean, network[1].running_mean)


def test_a_network_carries_its_recipe(network, sample):
    network.recipe = Recipe([Entry("compression.earlier.Step", 1, {})])
    smaller, recipe = compress(network, [Tucker()], sample=sample)
    assert [entry.step for entry in recipe.entries] == ["compression.earlier.Step", "tucker"]
    assert smaller.recipe is recipe and len(network.recipe.entries) == 1


def test_order():
    check_order([Silence(), Silence(last=True)])
    with pytest.raises(CompressionError, match="silence must be the last step, but tucker follows"):
        check_order([Silence(last=True), Tucker()])


def test_what_is_no_step_is_refused_before_anything_is_done(network, sample):
    class Alike:
        name, rounds, last = "alike", 1, False

        def plan(self, network, context, round):
            pytest.fail("was run")

    for wrong, says in [
        (Alike(), "Alike is no compression step; derive it from compression.Step"),
        (Tucker, "Tucker is no compression step; make an object of it"),
    ]:
        with pytest.raises(CompressionError, match=says):
            compress(network, [wrong], sample=sample)


def test_a_plan_must_be_plain_data(network, context):
    for plan in (torch.ones(1), {1, 2}, float("nan")):
        with pytest.raises(CompressionError, match="not plain JSON"):
            run_round(Silence(plan=plan), network, context, 0)


@pytest.fixture
def image_batches():
    generator = torch.Generator().manual_seed(3)
    return [(torch.rand(n, 3, 12, 12, generator=generator), None) for n in (4, 6, 3)]


def test_recalibration_is_the_average_over_batches(network, image_batches):
    weights = {k: v.clone() for k, v in network.named_parameters()}
    network[1].momentum = 0.3
    recalibrate(network, image_batches)
    first = [network[0](images).detach() for images, _ in image_batches]
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


def test_modes_come_back_and_dropout_stays_off(image_batches):
    dropout = nn.Dropout(0.9)
    network = nn.Sequential(dropout, nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).train()
    network[2].eval()
    again = copy.deepcopy(network)
    for each in (network, again):
        recalibrate(each, image_batches)
    assert [m.training for m in network] == [True, True, False]
    assert torch.equal(network[2].running_var, again[2].running_var)


def test_takes_no_more_batches_than_asked(network, image_batches):
    endless = iter(lambda: image_batches[0], None)
    recalibrate(network, endless, max_batches=2)
    assert network[1].num_batches_tracked == 2


@pytest.mark.parametrize("none", [[], [(torch.rand(1, 3, 12, 12), None)]])
def test_without_usable_batches_nothing_changes(network, none):
    before = {k: v.clone() for k, v in network.state_dict().items()}
    recalibrate(network, none)
    assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())


def test_without_batchnorm_nothing_is_read():
    recalibrate(nn.Linear(2, 2), iter(lambda: pytest.fail("read a batch"), None))
