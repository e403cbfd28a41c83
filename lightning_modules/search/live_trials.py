"""Trials at work: begun together with whose they are, and reached by their number.

The one place with a private name of Optuna, `FrozenTrial._trial_id`: a trial of `study.ask()` has
no owner yet, and whoever is killed then leaves one that nobody knows to be dead.
"""

import warnings
from typing import Any

from optuna import Study, Trial
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FrozenTrial, TrialState, create_trial

from lightning_modules.search.ownership import OWNER, this_process

warnings.filterwarnings("ignore", "(add|create)_trial is", ExperimentalWarning)  # of Optuna 2


def begin_trial(study: Study, **attributes: Any) -> FrozenTrial:
    """A new running trial of this process, without parameters yet; the newest that it has.

    Args:
        study: gets it.
        attributes: further user attributes.
    """
    owner = this_process()
    study.add_trial(create_trial(state=TrialState.RUNNING, user_attrs={OWNER: owner, **attributes}))
    own = (t for t in study.get_trials(deepcopy=False) if t.user_attrs.get(OWNER) == owner)
    return max(own, key=lambda trial: trial.number)


def find_trial(study: Study, number: int) -> FrozenTrial:
    """The trial of a number, as it stands now."""
    return next(t for t in study.get_trials(deepcopy=False) if t.number == number)


def open_trial(study: Study, trial: FrozenTrial) -> Trial:
    """A running trial to be drawn and told of; the study's sampler draws at once."""
    return Trial(study, trial._trial_id)
