"""How many trials of a command may raise."""

from multiprocessing import get_context

import pytest

from lightning_modules.search.failure_rate import FailureRate


@pytest.mark.parametrize(
    ("allowed", "raised", "exceeded"),
    [
        (1.0, [True, True], [False, False]),
        (0.5, [False, True, True], [False, False, True]),
        (0.0, [False, True], [False, True]),
    ],
)
def test_the_fraction_of_those_that_ended(allowed, raised, exceeded):
    failures, found = FailureRate(allowed), []
    for one in raised:
        failures.add(raised=one)
        found.append(failures.exceeded)
    assert found == exceeded and not FailureRate(0.0).exceeded


def test_several_processes_count_together():
    context = get_context("fork")
    numbers = context.Array("q", 2)
    failures = FailureRate(0.5, numbers, numbers.get_lock())
    workers = [context.Process(target=failures.add, kwargs={"raised": n == 0}) for n in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert (failures.ended, failures.raised, failures.exceeded) == (3, 1, False)
