"""Trials read in two queries are those that Optuna reads."""

import math

import optuna
import pytest
from optuna.trial import TrialState
from sqlalchemy import event

from lightning_modules.search.opened_study import load_study, trial_of
from lightning_modules.search.patient_storage import with_driver
from lightning_modules.search.storage import open_storage
from tests.postgresql_server import postgresql_server, programs

FACTS = (
    "number", "state", "values", "datetime_start", "datetime_complete", "params", "distributions",
    "user_attrs", "system_attrs", "intermediate_values",
)  # fmt: skip


def fill(url):
    """A study of trials in all states, with parameters of all kinds."""
    study = optuna.create_study(
        study_name="mine", storage=open_storage(url), directions=["minimize", "maximize"]
    )
    for values in ([0.1, 2.0], [1e300, -0.30000000000000004], None):
        trial = study.ask()
        trial.suggest_float("rate", 1e-9, 1.0, log=True)
        trial.suggest_float("plain", 0, 1)
        trial.suggest_float("stepped", 0, 1, step=0.25)
        trial.suggest_int("units", 1, 64, log=True)
        trial.suggest_int("even", 2, 8, step=2)
        trial.suggest_categorical("kind", ["a", None, 3, 0.5, True])
        trial.set_user_attr("wide", {"é": [1, None, "x" * 3000]})
        if values is not None:
            study.tell(trial, values)
    study.tell(2, state=TrialState.FAIL)
    study.enqueue_trial({"plain": 0.5})
    study.ask()  # takes it
    study.enqueue_trial({"plain": 0.25})  # waits
    for number in (0, 1):
        other = optuna.create_study(study_name=f"other{number}", storage=open_storage(url))
        trial = other.ask()
        trial.suggest_float("plain", 0, 1)
        trial.report(0.25, 7)
        trial.report(-1.5, 3)
        trial.report(math.inf, 4)
        other.tell(trial, 0.5)


def check(url):
    theirs = optuna.storages.RDBStorage(with_driver(url))
    for name, count in (("mine", 5), ("other0", 1), ("other1", 1)):
        study = load_study(name, open_storage(url))
        ours = study.trials
        expected = sorted(
            theirs.get_all_trials(theirs.get_study_id_from_name(name)), key=lambda t: t.number
        )
        assert len(ours) == len(expected) == count
        for one, other in zip(ours, expected, strict=True):
            for fact in FACTS:
                assert getattr(one, fact) == getattr(other, fact), fact
            assert trial_of(study, one.number).params == other.params
        finished = study.get_trials(states=(TrialState.COMPLETE,))
        assert [t.number for t in finished] == [t.number for t in ours if t.values is not None]
        with pytest.raises(KeyError):
            trial_of(study, count)


def test_as_optuna_reads_them(tmp_path):
    url = f"sqlite:///{tmp_path / 'study.db'}"
    fill(url)
    check(url)


@pytest.mark.slow
@pytest.mark.skipif(programs() is None, reason="PostgreSQL's server is not installed")
def test_as_optuna_reads_them_from_postgresql():
    pytest.importorskip("psycopg2", reason="needs the extra [postgresql]")
    with postgresql_server() as server:
        fill(server.url)
        check(server.url)


def test_what_ended_is_not_read_again(tmp_path):
    storage = open_storage(f"sqlite:///{tmp_path / 'study.db'}")
    optuna.create_study(study_name="mine", storage=storage)
    study, other = load_study("mine", storage), load_study("mine", open_storage(storage.url))
    for _ in range(20):
        other.tell(other.ask(), 0.5)
    running = other.ask()
    assert len(study.trials) == 21
    read = []
    event.listen(storage.engine, "before_cursor_execute", lambda *given: read.append(given[3]))
    first = study.get_trials(deepcopy=False)
    assert len(read) == 2 and [t.state for t in first[20:]] == [TrialState.RUNNING]
    other.tell(running, 0.25)
    other.tell(other.ask(), 0.75)
    again = study.get_trials(deepcopy=False)
    assert [t.value for t in again] == [0.5] * 20 + [0.25, 0.75]
    assert all(old is new for old, new in zip(first[:20], again[:20], strict=True))
    read.clear()
    study.get_trials(deepcopy=False)
    assert len(read) == 1  # nothing is at work
