"""Studies together with the storages behind them, and trials created past Optuna's cache.

That of Optuna 2 takes a running trial of its own for unchanged; but another process may work on it,
beat for it, and end it.
"""

from typing import Any
from weakref import WeakKeyDictionary

import optuna
from optuna import Study
from optuna.trial import FrozenTrial, TrialState, create_trial

from lightning_modules.search.patient_storage import PatientStorage

STORAGES: WeakKeyDictionary[Study, PatientStorage] = WeakKeyDictionary()


def load_study(name: str, storage: PatientStorage, **parts: Any) -> Study:
    """The study of a name, with its sampler and pruner.

    Raises:
        KeyError: there is none.
    """
    study = optuna.load_study(study_name=name, storage=storage, **parts)
    STORAGES[study] = storage
    return study


def new_trial(study: Study, attributes: dict[str, Any]) -> FrozenTrial:
    """A new running trial without parameters; no other one has these user attributes."""
    storage = STORAGES[study]
    template = create_trial(state=TrialState.RUNNING, user_attrs=attributes)
    study_id = storage.get_study_id_from_name(study.study_name)
    return storage.get_trial(storage.create_new_trial(study_id, template))


def trial_of(study: Study, number: int) -> FrozenTrial:
    """The trial of a number; no other one is read.

    Raises:
        KeyError: there is none.
    """
    storage = STORAGES[study]
    study_id = storage.get_study_id_from_name(study.study_name)
    return storage.get_trial(storage.get_trial_id_from_study_id_trial_number(study_id, number))


def close_study(study: Study) -> None:
    """Gives up the connections to its database; a later call makes new ones."""
    STORAGES[study].engine.dispose()
