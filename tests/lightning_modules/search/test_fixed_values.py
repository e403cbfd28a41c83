"""A search begins with the configuration that it starts from."""

import pytest
from omegaconf import open_dict
from optuna.trial import TrialState, create_trial

from lightning_modules.search.fixed_values import (
    POINT,
    begins_as_it_stands,
    default_value,
    given_up,
    next_point,
)
from lightning_modules.search.space import parse
from lightning_modules.search.trials import DIED, RETIRED
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


def ended(state, point, **attributes):
    attributes = {POINT: point, **attributes}
    values = 0.5 if state == TrialState.COMPLETE else None
    return create_trial(state=state, user_attrs=attributes, value=values)


def numbered(*trials):
    for number, trial in enumerate(trials):
        trial.number = number
    return list(trials)


def test_points_that_end_their_process_come_last_and_are_given_up():
    space = {"seed": parse("seed", "range(0,2)")}
    died = lambda seed: ended(TrialState.FAIL, {"seed": seed}, **{RETIRED: DIED})  # noqa: E731
    done = lambda seed: ended(TrialState.COMPLETE, {"seed": seed})  # noqa: E731
    stopped = ended(TrialState.FAIL, {"seed": 0}, **{RETIRED: "interrupted"})
    for trials, expected in (
        ([], 0),
        ([stopped], 0),  # Ctrl-C: it comes again in its place
        ([died(0)], 1),
        ([died(0), done(1)], 2),
        ([died(0), done(1), done(2)], 0),
        ([died(0), died(1), died(0), done(2)], 1),
        ([died(0), done(1), done(2), died(0), died(0)], None),
        ([died(0), done(0), done(1), done(2)], None),
        ([ended(TrialState.FAIL, {"seed": 0}, failure="it raised"), done(1)], 2),
    ):
        found = next_point(space, numbered(*trials))
        assert found == (None if expected is None else {"seed": expected})
    trials = numbered(died(0), died(1), died(0), done(2), died(0))
    assert given_up(trials) == ["seed=0: its process ended each time (trials 0, 2, 4)"]


def test_values_as_they_stand_are_given_up_too():
    died = [ended(TrialState.FAIL, {}, **{RETIRED: DIED}) for _ in range(3)]
    assert begins_as_it_stands(died[:2]) and not begins_as_it_stands(died)
    assert not begins_as_it_stands([ended(TrialState.COMPLETE, {})])
