"""Calls of a study's storage outlast a database that is away, and are not made twice."""

import os
import sqlite3
import time

import optuna
import pytest
from optuna.trial import TrialState
from sqlalchemy import event

from lightning_modules.errors import ConfigError
from lightning_modules.search import patient_storage
from lightning_modules.search.opened_study import load_study, new_trial, trial_of
from lightning_modules.search.ownership import open_trial
from lightning_modules.search.storage import open_storage

AWAY = "server closed the connection unexpectedly"


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(patient_storage, "PAUSES", (0.001, 0.002))


@pytest.fixture
def storage(tmp_path):
    """A new one with a study called `mine`."""
    opened = open_storage(f"sqlite:///{tmp_path / 'study.db'}")
    optuna.create_study(study_name="mine", storage=opened)
    return opened


class Failing:
    """Lets statements of a storage's engine fail as with a lost connection: each at its first try.

    Args:
        always: at each try.
    """

    def __init__(self, storage, error=AWAY, *, always=False):
        self.error, self.always, self.failed = error, always, set()
        event.listen(storage.engine, "do_execute", self)

    def __call__(self, cursor, statement, parameters, context):
        if self.always or statement not in self.failed:
            self.failed.add(statement)
            raise sqlite3.OperationalError(self.error)


def lose_answers(storage, monkeypatch, times):
    """What is committed is there, but the connection is gone before that is said."""
    real, left = storage.engine.dialect.do_commit, [times]

    def commit(connection):
        real(connection)
        if connection.total_changes and left[0] > 0:
            left[0] -= 1
            raise sqlite3.OperationalError(AWAY)

    monkeypatch.setattr(storage.engine.dialect, "do_commit", commit)
    return left


@pytest.mark.parametrize(
    "error",
    [
        AWAY,
        "the database system is starting up",
        "connection refused",
        "sorry, too many clients already",
        "database is locked",
    ],
)
def test_every_call_is_made_again(storage, error):
    """Of whatever Optuna calls for a whole trial, each statement is lost once."""
    study, failing = load_study("mine", storage), Failing(storage, error)
    trial = open_trial(study, new_trial(study, {"owner": {"token": "one"}}))
    trial.suggest_float("x", 0, 1)
    trial.set_user_attr("a", 1)
    trial.report(0.5, 1)
    study.tell(trial, 0.5)
    (found,) = study.trials
    assert (found.state, found.value, found.user_attrs["a"]) == (TrialState.COMPLETE, 0.5, 1)
    assert set(found.params) == {"x"} and found.intermediate_values == {1: 0.5}
    words = {statement.split()[0] for statement in failing.failed}
    assert words == {"SELECT", "INSERT", "UPDATE"} and len(failing.failed) > 10


def test_a_creation_whose_answer_was_lost_leaves_one_trial(storage, monkeypatch):
    study = load_study("mine", storage)
    first = new_trial(study, {"owner": {"token": "first"}})
    left = lose_answers(storage, monkeypatch, times=2)
    second = new_trial(study, {"owner": {"token": "second"}})
    assert left == [1] or left == [0]
    assert [t.user_attrs["owner"]["token"] for t in study.trials] == ["first", "second"]
    assert (first.number, second.number) == (0, 1)
    assert trial_of(study, 1).user_attrs == second.user_attrs


def test_an_end_whose_answer_was_lost_is_no_error(storage, monkeypatch):
    study = load_study("mine", storage)
    trial = open_trial(study, new_trial(study, {"owner": {"token": "one"}}))
    left = lose_answers(storage, monkeypatch, times=3)
    study.tell(trial, 0.5)
    assert left[0] < 3
    assert [(t.state, t.value) for t in study.trials] == [(TrialState.COMPLETE, 0.5)]
    with pytest.raises((RuntimeError, ValueError)):  # a second one is, as ever
        study.tell(trial, state=TrialState.FAIL)


def test_a_trial_that_another_process_ends_is_seen(storage):
    ours, theirs = load_study("mine", storage), load_study("mine", storage)
    trial = open_trial(ours, new_trial(ours, {"owner": {"token": "one"}}))
    trial.suggest_float("x", 0, 1)
    assert [t.state for t in ours.get_trials(deepcopy=False)] == [TrialState.RUNNING]
    theirs.tell(open_trial(theirs, trial_of(theirs, 0)), 0.5)
    assert [t.value for t in ours.get_trials(deepcopy=False)] == [0.5]


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (AWAY, r"cannot be used: no answer for . s: server closed the connection unexpectedly; a "
               r"SQLite file is for .*storage=postgresql://USER@HOST/DATABASE; the same command"),
        ("database is locked", "no answer for . s: database is locked; .*postgresql://"),
        ("disk I/O error", "cannot be used: disk I/O error; a SQLite file is for .*postgresql://"),
        ("database disk image is malformed", "malformed; a SQLite file is for .*postgresql://"),
    ],
)  # fmt: skip
def test_what_does_not_pass_is_a_sentence(storage, monkeypatch, error, sentence):
    monkeypatch.setattr(patient_storage, "PATIENCE", 0.05)
    study = load_study("mine", storage)
    Failing(storage, error, always=True)
    with pytest.raises(ConfigError, match=sentence):
        new_trial(study, {"owner": {"token": "one"}})
    with pytest.raises(ConfigError, match=sentence):
        study.get_trials()


def test_the_patience_is_with_the_outage_and_not_with_each_call(storage, monkeypatch):
    monkeypatch.setattr(patient_storage, "PATIENCE", 0.5)
    study = load_study("mine", storage)
    failing = Failing(storage, AWAY, always=True)
    took = []
    for _ in range(3):
        start = time.monotonic()
        with pytest.raises(ConfigError, match="no answer"):
            study.get_trials()
        took.append(time.monotonic() - start)
    assert took[0] > 0.2 and max(took[1:]) < 0.2
    monkeypatch.setattr(patient_storage, "APART", 0)
    start = time.monotonic()
    with pytest.raises(ConfigError, match="no answer"):  # another outage, long after
        study.get_trials()
    assert time.monotonic() - start > 0.2
    failing.always = False
    assert study.get_trials() == [] and storage._outage is None


def test_a_forked_process_has_connections_of_its_own(storage):
    study = load_study("mine", storage)
    before = id(storage.engine.pool)
    if (child := os.fork()) == 0:
        new_trial(study, {"owner": {"token": "child"}})
        os._exit(0 if id(storage.engine.pool) != before else 3)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(study.trials) == 1


def test_a_folder_may_have_braces(tmp_path):
    (tmp_path / "{a}").mkdir()
    url = f"sqlite:///{tmp_path / '{a}' / 'study.db'}"
    optuna.create_study(study_name="mine", storage=open_storage(url))
    assert (tmp_path / "{a}" / "study.db").is_file()
