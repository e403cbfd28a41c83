"""Drafts see the trials of a study, and leave nothing in it."""

import copy

import optuna
import pytest
from optuna.distributions import UniformDistribution
from optuna.trial import TrialState, create_trial

from lightning_modules.search.drafts import draft_study


def trials(count):
    space = {"x": UniformDistribution(0.0, 1.0)}
    study = optuna.create_study()
    study.add_trials(
        create_trial(
            state=TrialState.COMPLETE,
            value=(n / count - 0.3) ** 2,
            params={"x": n / count},
            distributions=space,
        )
        for n in range(count)
    )
    study.ask()
    return study


@pytest.mark.parametrize("sampler", [optuna.samplers.TPESampler, optuna.samplers.NSGAIISampler])
def test_a_draft_is_what_a_copy_of_the_study_would_draw(sampler):
    known = trials(60)
    before = copy.deepcopy(known.trials)
    copied = optuna.create_study(sampler=sampler(seed=3))
    copied.add_trials(known.trials)
    drafts = draft_study(known.trials, known, sampler(seed=3))
    assert [drafts.ask().suggest_float("x", 0.0, 1.0) for _ in range(5)] == [
        copied.ask().suggest_float("x", 0.0, 1.0) for _ in range(5)
    ]
    assert known.trials == before


def test_trials_are_found_by_state_and_by_id():
    known = trials(3)
    drafts = draft_study(known.trials, known, optuna.samplers.RandomSampler())
    draft = drafts.ask()
    seen = drafts.get_trials(deepcopy=False)
    assert [t.state.name for t in seen] == ["COMPLETE"] * 3 + ["RUNNING"] * 2
    complete = drafts.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    assert [t.number for t in complete] == [0, 1, 2]
    storage = draft.storage
    assert [storage.get_trial(t._trial_id).params for t in seen] == [t.params for t in seen]
