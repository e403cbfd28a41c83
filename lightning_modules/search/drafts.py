"""A study in memory for draws that are perhaps thrown away, on the ground of another's trials."""

from collections.abc import Sequence
from typing import Any

import optuna
from optuna import Study
from optuna.samplers import BaseSampler
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial


def draft_study(trials: Sequence[FrozenTrial], like: Study, sampler: BaseSampler) -> Study:
    """A study whose draws follow from these trials, which are not copied: that takes seconds.

    Args:
        trials: of another study, which nothing changes.
        like: a study with its directions.
        sampler: draws; a new one, for Optuna's keep to one study each.
    """
    return optuna.create_study(storage=_Drafts(trials), directions=like.directions, sampler=sampler)


class _Drafts(InMemoryStorage):
    """Its trials are the drafts, whose ids count from 0, after the others, whose are negative."""

    def __init__(self, others: Sequence[FrozenTrial]) -> None:
        super().__init__()
        self.others = [_renamed(trial, -1 - place) for place, trial in enumerate(others)]

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """One of either kind."""
        return super().get_trial(trial_id) if trial_id >= 0 else self.others[-1 - trial_id]

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Any = None
    ) -> list[FrozenTrial]:
        """Those of both kinds; never copied."""
        known = (t for t in self.others if states is None or t.state in states)
        return [*known, *super().get_all_trials(study_id, deepcopy, states)]


def _renamed(trial: FrozenTrial, trial_id: int) -> FrozenTrial:
    """The same trial by another id; what it holds is shared."""
    return FrozenTrial(
        number=trial.number,
        state=trial.state,
        value=None,
        values=trial.values,
        datetime_start=trial.datetime_start,
        datetime_complete=trial.datetime_complete,
        params=trial.params,
        distributions=trial.distributions,
        user_attrs=trial.user_attrs,
        system_attrs=trial.system_attrs,
        intermediate_values=trial.intermediate_values,
        trial_id=trial_id,
    )
