"""A search begins with the configuration that it starts from."""

import pytest

from tests.lightning_modules.search.test_worker import distance


def test_the_first_trial_has_the_values_as_they_stand(search):
    drawn = "loss.label_smoothing=interval(0.2,0.4)"  # the default is none of these
    words = ["optimizer.lr=interval(0.0,1.0)", "augment=none,simple,strong", drawn]
    _, computer = search(distance, *words, "sweep.n_trials=3")
    first, *others = computer.jobs
    assert (float(first["optimizer.lr"]), first["augment"]) == (0.002, "simple")
    assert 0.2 <= float(first["loss.label_smoothing"]) <= 0.4
    assert all(other["optimizer.lr"] != first["optimizer.lr"] for other in others)


def test_they_come_again_where_that_trial_was_marked_failed(search):
    def value(given):
        raise KeyboardInterrupt

    with pytest.raises(SystemExit):
        search(value, "sweep.n_trials=2")
    _, computer = search(distance, "sweep.n_trials=2")
    rates = [float(job["optimizer.lr"]) for job in computer.jobs]
    assert rates[0] == 0.002 != rates[1]
