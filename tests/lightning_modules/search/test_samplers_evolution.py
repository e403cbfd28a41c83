"""Children differ from good parents in a few parameters."""

import optuna

from lightning_modules.search.samplers import MUTATIONS, EvolutionSampler
from lightning_modules.search.trials import VIOLATION

NAMES = [f"p{number}" for number in range(12)]


def child(study, seed):
    study.sampler = EvolutionSampler(seed)
    trial = study.ask()
    for name in NAMES:
        trial.suggest_int(name, 0, 99)
    return trial


def differences(one, other):
    return sum(one.params[name] != other.params[name] for name in NAMES)


def test_a_child_takes_most_from_the_best_within_the_limits():
    study = optuna.create_study(direction="maximize")
    for number, value in enumerate([0.1, 0.9, 5.0]):
        trial = child(study, number)
        if value == 5.0:  # better, but over the limits
            trial.set_user_attr(VIOLATION, 1.0)
        study.tell(trial, value)
    best = study.trials[1]
    for seed in range(10, 30):  # of a population of two the tournament sees both
        assert differences(child(study, seed), best) <= MUTATIONS, seed


def test_less_is_better_where_that_is_asked():
    study = optuna.create_study(direction="minimize")
    for number, value in enumerate([3.0, 1.0, 2.0]):
        study.tell(child(study, number), value)
    assert differences(child(study, 9), study.trials[1]) <= MUTATIONS


def test_the_first_trial_is_the_parent_while_it_is_at_work():
    study = optuna.create_study()
    first = child(study, 0)
    assert differences(child(study, 1), first) <= MUTATIONS


def test_it_finds_what_chance_does_not():
    def distance(trial):
        return sum(abs(trial.params[name] - 50) for name in NAMES)

    best = {}
    for kind in (EvolutionSampler, optuna.samplers.RandomSampler):
        study = optuna.create_study()
        for seed in range(150):
            study.sampler = kind(seed)
            trial = study.ask()
            for name in NAMES:
                trial.suggest_int(name, 0, 99)
            study.tell(trial, distance(trial))
        best[kind] = study.best_value
    assert best[EvolutionSampler] < 0.6 * best[optuna.samplers.RandomSampler]


def test_old_trials_leave_the_population(monkeypatch):
    monkeypatch.setattr("lightning_modules.search.samplers.POPULATION", 2)
    study = optuna.create_study(direction="maximize")
    for number, value in enumerate([9.0, 0.1, 0.2]):
        study.sampler = optuna.samplers.RandomSampler(number)
        trial = study.ask()
        for name in NAMES:
            trial.suggest_int(name, 0, 99)
        study.tell(trial, value)
    newer = child(study, 7)
    assert differences(newer, study.trials[0]) > MUTATIONS
    assert differences(newer, study.trials[2]) <= MUTATIONS
