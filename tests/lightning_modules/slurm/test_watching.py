"""Whether jobs live: asked of the controller seldom, and nothing concluded from its silence."""

import pytest

from lightning_modules.slurm import JobState, job_state, watching
from lightning_modules.slurm.controller import JobInfo, SilentControllerError
from lightning_modules.slurm.watching import INTERVAL, MAX_SILENCE, REQUEUE_WITHIN, Watcher


class Controller:
    """Stands for `ask`, and for the clock."""

    def __init__(self, monkeypatch):
        self.jobs, self.asked, self.now, self.away = {}, [], 1000.0, False
        monkeypatch.setattr(watching, "ask", self.ask)
        monkeypatch.setattr(watching.time, "monotonic", lambda: self.now)

    def ask(self, jobs):
        self.asked.append(set(jobs))
        if self.away:
            raise SilentControllerError("away")
        return {job: self.jobs[job] for job in jobs if job in self.jobs}


@pytest.fixture
def controller(monkeypatch):
    return Controller(monkeypatch)


def test_one_question_for_all_in_an_interval(controller):
    watcher = Watcher()
    controller.jobs = {"1": JobInfo("RUNNING"), "2": JobInfo("PENDING"), "3": JobInfo("CANCELLED")}
    expected = [JobState.ALIVE, JobState.ALIVE, JobState.ENDED, JobState.UNKNOWN]
    assert [watcher.state(job) for job in "1234"] == expected
    controller.asked.clear()
    controller.now += INTERVAL
    assert [watcher.state(job) for job in "1234"] == expected
    assert [watcher.state(job) for job in "4321"] == expected[::-1]
    assert controller.asked == [set("1234")]


def test_silence_is_no_end(controller):
    watcher = Watcher()
    controller.away = True
    assert watcher.state("1") is JobState.ALIVE
    controller.now += MAX_SILENCE - 1
    assert watcher.state("1") is JobState.ALIVE
    controller.now += 1
    assert watcher.state("1") is JobState.UNKNOWN
    controller.away, controller.jobs = False, {"1": JobInfo("RUNNING")}
    controller.now += INTERVAL
    assert watcher.state("1") is JobState.ALIVE


@pytest.mark.parametrize("state", ["BOOT_FAIL", "NODE_FAIL", "PREEMPTED", "TIMEOUT"])
def test_what_the_launcher_requeues_lives_for_a_minute(controller, state):
    watcher = Watcher()
    controller.jobs = {"1": JobInfo(state)}
    assert watcher.state("1") is JobState.ALIVE
    controller.now += REQUEUE_WITHIN
    assert watcher.state("1") is JobState.ENDED
    controller.jobs = {"1": JobInfo("PENDING")}
    controller.now += INTERVAL
    assert watcher.state("1") is JobState.ALIVE


def test_no_slurm_here(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert job_state("17") is JobState.UNKNOWN
