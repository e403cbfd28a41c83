"""Who tends a trial, judged by processes of this host, jobs of SLURM, and heartbeats."""

import time

import pytest
from optuna.trial import TrialState, create_trial

from lightning_modules.runs import this_process
from lightning_modules.search import liveness
from lightning_modules.search.liveness import Tended, Watch
from lightning_modules.search.ownership import HEARTBEAT, OWNER, SWEEPER
from lightning_modules.slurm import JobState

HERE = this_process()
DEAD = {**HERE, "start": "earlier"}
AWAY = {**HERE, "host": "elsewhere"}
NOW = 1e9


@pytest.fixture
def clocks(monkeypatch):
    """The clock of the wall and the steady one, in seconds; `clocks["steady"] += 1` lets one go."""
    found = {"wall": NOW, "steady": 0.0}
    monkeypatch.setattr(time, "time", lambda: found["wall"])
    monkeypatch.setattr(time, "monotonic", lambda: found["steady"])
    return found


def running(owner, sweeper=None, *, job=None, at=NOW, number=0, beat=0):
    attributes = {OWNER: {**owner, "job": job}, SWEEPER: sweeper or owner}
    attributes[HEARTBEAT] = {"beat": beat, "at": at}
    return create_trial(state=TrialState.RUNNING, user_attrs=attributes)


@pytest.mark.parametrize(
    ("owner", "sweeper", "tended", "alone"),
    [
        (HERE, HERE, Tended.YES, False),
        (DEAD, HERE, Tended.YES, False),  # its sweeper is about to tell it
        (HERE, DEAD, Tended.YES, True),
        (DEAD, DEAD, Tended.NO, True),
        (AWAY, AWAY, Tended.YES, False),  # and beats
        (DEAD, AWAY, Tended.YES, False),
        (AWAY, DEAD, Tended.YES, True),
    ],
)
def test_processes(tmp_path, clocks, owner, sweeper, tended, alone):
    watch, trial = Watch(10), running(owner, sweeper)
    assert watch.look(trial, tmp_path) is tended
    assert watch.is_left_alone(trial, tmp_path) is alone


@pytest.mark.parametrize("owner", [AWAY, DEAD])
@pytest.mark.parametrize(
    ("state", "tended"),
    [(JobState.ALIVE, Tended.YES), (JobState.ENDED, Tended.NO)],
)
def test_jobs_of_slurm(tmp_path, clocks, monkeypatch, owner, state, tended):
    asked = []
    monkeypatch.setattr(liveness, "job_state", lambda job: asked.append(job) or state)
    watch = Watch(10)
    assert watch.look(running(owner, DEAD, job="17_1", at=0), tmp_path) is tended
    assert set(asked) == {"17_1"}
    alone = watch.is_left_alone(running(owner, AWAY, job="17_1"), tmp_path)
    assert alone is (state is JobState.ALIVE)  # its sweeper may have ended, too


def test_a_job_that_waits_is_known_by_its_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(liveness, "job_of", lambda run: "18" if run == tmp_path else None)
    monkeypatch.setattr(liveness, "job_state", lambda job: JobState.ALIVE)
    assert Watch(10).look(running(DEAD), tmp_path) is Tended.YES
    assert Watch(10).look(running(DEAD), tmp_path / "other") is Tended.NO


def test_a_forgotten_job_is_judged_by_processes_and_beats(tmp_path, clocks, monkeypatch):
    monkeypatch.setattr(liveness, "job_state", lambda job: JobState.UNKNOWN)
    watch = Watch(10)
    assert watch.look(running(DEAD, DEAD, job="17"), tmp_path) is Tended.NO
    assert watch.look(running(AWAY, DEAD, job="17"), tmp_path) is Tended.YES


def test_an_old_beat_that_stays_the_same_is_silence(tmp_path, clocks):
    watch, trial = Watch(10), running(AWAY, at=NOW - 601)
    looks = []
    for _ in range(4):
        looks.append(watch.look(trial, tmp_path))
        assert watch.is_left_alone(trial, tmp_path)  # it will not be for long
        clocks["steady"] += 60
    assert looks == [Tended.YES] * 3 + [Tended.SILENT]


def test_whose_beats_go_on_is_not_silent_whatever_the_clocks_say(tmp_path, clocks):
    """The clock of the other host, or of this one, is an hour wrong."""
    watch = Watch(10)
    for beat in range(30):
        trial = running(AWAY, at=NOW - 3600 + 60 * beat, beat=beat)
        assert watch.look(trial, tmp_path) is Tended.YES
        clocks["steady"] += 60
        clocks["wall"] += 60


def test_a_beat_from_the_future_is_silent_after_all_the_minutes(tmp_path, clocks):
    watch, trial = Watch(10), running(AWAY, at=NOW + 3600)
    looks = []
    for _ in range(11):
        looks.append(watch.look(trial, tmp_path))
        clocks["steady"] += 60
    assert looks == [Tended.YES] * 10 + [Tended.SILENT]


def test_of_earlier_versions_nobody_can_tell(tmp_path, clocks):
    watch = Watch(10)
    trial = create_trial(state=TrialState.RUNNING, user_attrs={OWNER: AWAY})
    for _ in range(3):
        assert watch.look(trial, tmp_path) is Tended.YES
        assert not watch.is_left_alone(trial, tmp_path)
        clocks["steady"] += 3600
    without = create_trial(state=TrialState.RUNNING)
    assert watch.look(without, tmp_path) is Tended.NO
