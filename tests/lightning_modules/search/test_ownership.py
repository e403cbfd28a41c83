"""A trial is created together with who tends it, once, and beats while it is at work."""

import threading
import time

from lightning_modules.runs import this_process
from lightning_modules.search import ownership
from lightning_modules.search.opened_study import load_study, new_trial, trial_of
from lightning_modules.search.ownership import (
    HEARTBEAT,
    OWNER,
    SWEEPER,
    begin_trial,
    elsewhere,
    heartbeat,
    open_trial,
)
from lightning_modules.search.storage import open_storage
from lightning_modules.search.trials import RETIRED


def opened(tmp_path, name="mine"):
    storage = open_storage(f"sqlite:///{tmp_path / 'study.db'}")
    storage.create_new_study(name)
    return load_study(name, storage)


def test_a_trial_knows_who_began_it_and_no_two_are_alike(tmp_path):
    study = opened(tmp_path)
    first, second = begin_trial(study, point={"seed": 1}), begin_trial(study)
    assert (first.number, second.number) == (0, 1)
    me = this_process()
    assert first.user_attrs[SWEEPER] == me and first.user_attrs["point"] == {"seed": 1}
    assert {**me, "job": None}.items() <= first.user_attrs[OWNER].items()
    assert first.user_attrs[OWNER]["token"] != second.user_attrs[OWNER]["token"]
    assert abs(first.user_attrs[HEARTBEAT]["at"] - time.time()) < 60


def test_those_elsewhere_are_at_work_as_far_as_can_be_seen(tmp_path):
    study, me = opened(tmp_path), this_process()
    for owner in (me, {**me, "host": "elsewhere"}, {**me, "start": "earlier"}):
        new_trial(study, {OWNER: owner})
    new_trial(study, {OWNER: {**me, "host": "vanished"}, RETIRED: "silent for 10 minutes"})
    assert [trial.number for trial in elsewhere(study.trials)] == [0, 1]


def test_it_beats_until_it_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(ownership, "BEAT_SECONDS", 0.01)
    study = opened(tmp_path)
    begun = begin_trial(study)
    threads = threading.active_count()
    with heartbeat(open_trial(study, begun)):
        deadline = time.monotonic() + 20
        while trial_of(study, 0).user_attrs[HEARTBEAT]["beat"] < 2:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    deadline = time.monotonic() + 20
    while threading.active_count() > threads:
        assert time.monotonic() < deadline
        time.sleep(0.01)
