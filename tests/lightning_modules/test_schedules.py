"""The shapes of the learning-rate schedules."""

import math

import pytest
import torch

from lightning_modules.schedules import cosine, one_cycle

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
