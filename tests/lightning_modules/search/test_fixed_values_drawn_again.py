"""A draw that is over the limits is drawn again, and leaves nothing behind."""

from unittest.mock import Mock

import optuna
import pytest

from lightning_modules.search import trial_job, worker
from lightning_modules.search.fixed_values import draw_again
from lightning_modules.search.trial_job import excess_of

LIMITED = "sweep.limits.macs=1e6"


def excess(candidate):
    return max(0.0, candidate.suggest_float("x", 0.0, 1.0) - 0.1)


@pytest.mark.parametrize("sampler", [optuna.samplers.RandomSampler, optuna.samplers.TPESampler])
def test_the_first_draw_within_is_taken(sampler):
    study = optuna.create_study(sampler=sampler(seed=0))
    study.ask()
    point = draw_again(study, study.trials[0], sampler(seed=0), excess, 200)
    assert point["x"] <= 0.1
    assert study.trials[0].params == {}


def test_else_the_nearest():
    drawn = []

    def over(candidate):
        drawn.append(candidate.suggest_float("x", 0.0, 1.0))
        return 1.0 + drawn[-1]

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.ask()
    sampler = optuna.samplers.RandomSampler(seed=1)
    point = draw_again(study, study.trials[0], sampler, over, 7)
    assert len(drawn) == 7 and point == {"x": min(drawn)}


def test_trials_are_what_was_drawn_within(search, monkeypatch):
    asked = []

    def over(root, overrides):
        assert root.sweep.limits.macs == 1e6
        asked.append(overrides)
        rate = next(float(w.split("=")[1]) for w in overrides if w.startswith("optimizer.lr="))
        return max(0.0, rate - 0.2)

    monkeypatch.setattr(worker, "excess_of", over)
    study, computer = search(lambda given: 0.0, LIMITED, "sweep.n_trials=6", "sweep.redraws=99")
    rates = [float(job["optimizer.lr"]) for job in computer.jobs]
    assert len(rates) == 6 and max(rates) <= 0.2 and rates[0] == 0.002
    assert len(asked) > 12  # a fifth of the draws are within
    assert [trial.params["optimizer.lr"] for trial in study.trials] == rates
    asked.clear()
    search(lambda given: 0.0, LIMITED, "sweep.n_trials=7", "sweep.redraws=0")
    assert asked == []


def test_the_excess_of_a_composed_trial(multirun, compose_config, monkeypatch):
    root = multirun("model=staged", "data.image_size=64", "sweep.limits.macs=455_000")

    def load(root, overrides):
        return compose_config("model=staged", "data.image_size=64", *overrides)

    hydra = Mock()
    hydra.instance().config_loader().load_sweep_config = load
    monkeypatch.setattr(trial_job, "GlobalHydra", hydra)
    wide = ["model.width_multiple=1.25"]
    assert excess_of(root, []) == 0
    assert 0 < excess_of(root, wide) < 1
    assert excess_of(root, [*wide, "+compression=prune"]) == 0  # known when it is pruned
    assert excess_of(root, ["model.stages.s1.kind=Nothing"]) == 0  # the trial will say so


def test_what_was_tried_before_is_drawn_again_while_there_is_something_new(search):
    words = ["optimizer.lr=choice(0.1,0.2,0.3)", "sweep.sampler=random", "sweep.redraws=99"]
    study, _ = search(lambda given: 0.0, *words, "sweep.n_trials=8")  # batches of 8 and 16
    drawn = [tuple(sorted(trial.params.items())) for trial in study.trials]
    assert len(set(drawn[:6])) == 6 and set(drawn[6:]) <= set(drawn[:6])


@pytest.mark.parametrize("sampler", ["nsgaii", "cmaes"])
def test_what_a_sampler_notes_of_a_draw_stays_with_the_trial(search, sampler):
    """From it a generation is bred; without, evolution would begin anew with each trial."""
    count = 1 if sampler == "cmaes" else 2
    words = [
        f"objective=[{','.join(['val/f1', 'cost/macs'][:count])}]",
        f"sweep.direction=[{','.join(['maximize', 'minimize'][:count])}]",
        f"sweep.sampler={sampler}", "data.batch_size=8", "optimizer.lr=interval(0.0,1.0)",
        "optimizer.weight_decay=interval(0.0,1.0)", "sweep.n_trials=5",
    ]  # fmt: skip
    study, _ = search(lambda given: [float(given["optimizer.lr"])] * count, *words)
    noted = [any("generation" in key for key in t.system_attrs) for t in study.trials]
    assert noted[2:] == [True] * 3
