"""A search begins with the configuration that it starts from."""

import pytest
from omegaconf import open_dict

from lightning_modules.search.fixed_values import default_value
from lightning_modules.search.space import parse
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


@pytest.mark.parametrize(("value", "choices"), [("nan", "'ok','nan'"), ("a b", "'x','a b'")])
def test_a_text_as_it_stands_is_found_among_quoted_ones(multirun, value, choices):
    root = multirun("card.license=choice(1)")
    with open_dict(root):
        root.card.license, root.augment.crop_scale = value, [0.35, 1.0]
    assert default_value(root, "card.license") in parse("k", f"choice({choices})").values
    lists = parse("k", "choice([0.2,1.0],[0.35, 1.0])")
    assert default_value(root, "augment.crop_scale") == lists.values[1]
    assert default_value(root, "augment") == "simple"
    assert default_value(root, "optimizer.lr") == 0.002
