"""The shapes of the learning-rate schedules."""

import math

import pytest
import torch
from omegaconf import OmegaConf

from lightning_modules.training.optimization import FitLength, make_optimizer, make_schedule
from lightning_modules.training.schedules import cosine, cosine_restarts, one_cycle

CYCLE = {"pct_start": 0.25, "div_factor": 10.0, "final_div_factor": 100.0}


def rates(make, steps, lr=1.0, **settings):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    schedule = make(optimizer, total_steps=steps, **settings)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step() if len(found) < steps else None
    return found


def test_one_cycle_starts_low_peaks_and_ends_lowest():
    found = rates(one_cycle, 100, **CYCLE)
    assert found[0] == pytest.approx(0.1)
    assert max(found) == pytest.approx(1.0)
    assert found.index(max(found)) == 24
    assert found[-1] == pytest.approx(0.001, rel=1e-6)


@pytest.mark.parametrize("steps", range(1, 30))
def test_one_cycle_takes_any_number_of_steps(steps):
    assert all(0 < rate <= 1 for rate in rates(one_cycle, steps, **CYCLE))


def test_cosine_follows_the_closed_form():
    found = rates(cosine, 50, final_fraction=0.1)
    expected = [0.1 + 0.9 * (1 + math.cos(math.pi * step / 50)) / 2 for step in range(50)]
    assert found == pytest.approx(expected, rel=1e-6)


def test_cosine_keeps_the_ratio_of_the_groups_rates():
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": lr} for lr in (1.0, 0.01)]
    optimizer = torch.optim.SGD(groups)
    schedule = cosine(optimizer, total_steps=10, final_fraction=0.1)
    for _ in range(10):
        optimizer.step()
        schedule.step()
        large, small = (group["lr"] for group in optimizer.param_groups)
        assert small == pytest.approx(large / 100)


def test_a_warm_up_rises_linearly_and_the_cosine_has_the_rest():
    found = rates(cosine, 60, steps_per_epoch=5, final_fraction=0.0, warmup_epochs=2)
    assert found[:10] == pytest.approx([0.01 + 0.099 * step for step in range(10)])
    fall = [(1 + math.cos(math.pi * step / 50)) / 2 for step in range(50)]
    assert found[10:] == pytest.approx(fall, rel=1e-6)


def test_a_warm_up_takes_at_most_half_of_a_short_fit():
    found = rates(cosine, 4, steps_per_epoch=5, final_fraction=0.0, warmup_epochs=2)
    assert found == pytest.approx([0.01, 0.505, 1.0, 0.5])


def test_restarts_follow_the_closed_form():
    cycles = {"cycle_epochs": 2, "cycle_factor": 2, "warmup_epochs": 1}
    found = rates(cosine_restarts, 65, steps_per_epoch=5, **cycles)
    assert found[:5] == pytest.approx([0.01 + 0.198 * step for step in range(5)])

    def fall(length):
        return [(1 + math.cos(math.pi * step / length)) / 2 for step in range(length)]

    assert found[5:] == pytest.approx([*fall(10), *fall(20), *fall(40)[:30]], rel=1e-6)


def made(target, **settings):
    """The Lightning node of a schedule."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    node = OmegaConf.create({"_target_": target, **settings})
    return make_schedule(optimizer, node, FitLength(20, 4, 8))


def test_a_schedule_gets_the_lengths_that_it_takes_in_its_own_unit():
    target = "torch.optim.lr_scheduler.OneCycleLR"
    by_step = made(target, max_lr=1.0)
    assert by_step["interval"] == "step"
    assert by_step["scheduler"].total_steps == 20
    by_epoch = made(target, max_lr=1.0, interval="epoch")
    assert by_epoch["scheduler"].total_steps == 5
    own = made(target, max_lr=1.0, total_steps=7)
    assert own["scheduler"].total_steps == 7
    plain = made("torch.optim.lr_scheduler.ExponentialLR", gamma=0.5, interval="epoch")
    assert plain["interval"] == "epoch"


def test_a_plateau_is_looked_at_after_the_last_batch_of_an_epoch():
    node = made("torch.optim.lr_scheduler.ReduceLROnPlateau", monitor="val/f1", mode="max")
    assert (node["interval"], node["frequency"], node["monitor"]) == ("step", 8, "val/f1")


def test_an_optimizer_gets_its_own_rate_or_the_stages():
    module = torch.nn.ModuleDict({"network": torch.nn.Linear(2, 2)})
    node = OmegaConf.create({"_target_": "torch.optim.SGD", "lr": 0.5, "layer_decay": 1.0})
    assert make_optimizer(module, node).param_groups[0]["lr"] == 0.5
    assert make_optimizer(module, node, lr=0.1).param_groups[0]["lr"] == 0.1
