"""Studies together with the storages behind them."""

from typing import Any, cast
from weakref import WeakKeyDictionary

import optuna
from optuna import Study
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from lightning_modules.search.patient_storage import PatientStorage

STORAGES: WeakKeyDictionary[Study, tuple[PatientStorage, int]] = WeakKeyDictionary()


def load_study(name: str, storage: PatientStorage, **parts: Any) -> Study:
    """The study of a name, with its sampler and pruner.

    Raises:
        KeyError: there is none.
    """
    study = optuna.load_study(study_name=name, storage=as_optunas(storage), **parts)
    STORAGES[study] = storage, storage.get_study_id_from_name(name)
    return study


def as_optunas(storage: PatientStorage) -> BaseStorage:
    """A storage as a study takes it: it has all calls of Optuna's, though not their class.

    That of Optuna 2 and that of later ones differ in what they must have, and a database's own
    class would be given a cache.
    """
    return cast(BaseStorage, storage)


def new_trial(study: Study, attributes: dict[str, Any]) -> FrozenTrial:
    """A new running trial without parameters; no other one has these user attributes."""
    storage, study_id = STORAGES[study]
    template = create_trial(state=TrialState.RUNNING, user_attrs=attributes)
    return storage.get_trial(storage.create_new_trial(study_id, template))


def trial_of(study: Study, number: int) -> FrozenTrial:
    """The trial of a number; no other one is read.

    Raises:
        KeyError: there is none.
    """
    storage, study_id = STORAGES[study]
    return storage.get_trial_of(study_id, number)


def close_study(study: Study) -> None:
    """Gives up the connections to its database; a later call makes new ones."""
    STORAGES[study][0].engine.dispose()
