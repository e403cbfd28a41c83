"""Waiting for jobs, with a controller and a clock of the test's own."""

import pytest

from lightning_modules.slurm import SubmissionError, waiting
from lightning_modules.slurm.controller import JobInfo, SilentControllerError
from lightning_modules.slurm.waiting import GRACE, Limits, wait_for


class Controller:
    """Says what a script has for each second; `result` leaves the job's result."""

    def __init__(self, monkeypatch, folder):
        self.folder, self.script, self.now = folder, {}, 0.0
        self.cancelled, self.requeued, self.refused = [], [], False
        for name in ("ask", "cancel", "requeue"):
            monkeypatch.setattr(waiting, name, getattr(self, name))
        monkeypatch.setattr(waiting.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(waiting.time, "sleep", self.sleep)

    def sleep(self, seconds):
        self.now += seconds
        assert self.now < 1e5, "it waits for ever"
        for job in self.script:
            if self.state(job) == "result":
                (self.folder / job).touch()

    def state(self, job):
        return [state for start, state in self.script[job] if start <= self.now][-1]

    def ask(self, jobs):
        words = {job: self.state(job) for job in jobs}
        if "silence" in words.values():
            raise SilentControllerError("Unable to contact slurm controller")
        return {j: JobInfo(*s.split()) for j, s in words.items() if s not in ("", "result")}

    def cancel(self, jobs):
        self.cancelled += jobs

    def requeue(self, job):
        self.requeued.append(job)
        return not self.refused

    def wait(self, pending=1000.0, silent=100.0):
        return wait_for({job: self.folder / job for job in self.script}, Limits(pending, silent))


@pytest.fixture
def controller(monkeypatch, tmp_path):
    return Controller(monkeypatch, tmp_path)


def test_each_job_ends_in_its_own_way(controller):
    controller.script = {
        "1": [(0, "PENDING Resources"), (3, "RUNNING"), (30, "result")],
        "2": [(0, "RUNNING"), (10, "COMPLETING"), (12, "CANCELLED")],
        "3": [(0, "RUNNING"), (5, "FAILED"), (6, "result")],  # seen late on a network drive
        "4": [(0, "RUNNING"), (20, "")],
    }
    assert controller.wait() == {
        "1": JobInfo("COMPLETED"),
        "2": JobInfo("CANCELLED"),
        "3": JobInfo("COMPLETED"),
        "4": None,
    }
    assert 30 <= controller.now <= 30 + GRACE + waiting.MAX_INTERVAL
    assert controller.cancelled == controller.requeued == []


@pytest.mark.parametrize("state", ["BOOT_FAIL", "NODE_FAIL", "PREEMPTED", "TIMEOUT"])
def test_what_slurm_ended_for_a_reason_of_its_own_is_requeued(controller, state):
    controller.script = {"1": [(0, "RUNNING"), (5, state), (8, "PENDING"), (20, "result")]}
    assert controller.wait() == {"1": JobInfo("COMPLETED")}
    assert "1" in controller.requeued


def test_what_slurm_does_not_requeue_has_ended(controller):
    controller.refused = True
    controller.script = {"1": [(0, "RUNNING"), (5, "TIMEOUT")]}
    assert controller.wait() == {"1": JobInfo("TIMEOUT")}


def test_a_job_that_does_not_start_is_cancelled(controller):
    controller.script = {
        "1": [(0, "PENDING BeginTime")],
        # each start is waited for anew
        "2": [
            (0, "PENDING"),
            (900, "RUNNING"),
            (1500, "PENDING"),
            (2400, "RUNNING"),
            (3000, "result"),
        ],
    }
    assert controller.wait(pending=1000) == {
        "1": JobInfo("NOT_STARTED", "BeginTime"),
        "2": JobInfo("COMPLETED"),
    }
    assert controller.cancelled == ["1"]


def test_without_a_limit_a_job_may_wait(controller, caplog):
    caplog.set_level("INFO")
    controller.script = {
        "1": [(0, "PENDING Resources"), (50000, "PENDING Priority"), (60000, "result")]
    }
    assert controller.wait(pending=None) == {"1": JobInfo("COMPLETED")}
    assert [record.getMessage() for record in caplog.records] == [
        "SLURM job 1 waits (Resources)", "SLURM job 1 waits (Priority)"
    ]  # fmt: skip


def test_a_controller_that_is_away_for_a_while(controller):
    controller.script = {"1": [(0, "RUNNING"), (5, "silence"), (90, "CANCELLED")]}
    assert controller.wait(silent=100) == {"1": JobInfo("CANCELLED")}


def test_results_come_without_the_controller(controller):
    controller.script = {"1": [(0, "silence"), (50, "result")]}
    assert controller.wait(silent=100) == {"1": JobInfo("COMPLETED")}


def test_a_controller_that_stays_away(controller):
    controller.script = {"1": [(0, "silence")], "2": [(0, "RUNNING")]}
    with pytest.raises(SubmissionError) as found:
        controller.wait(silent=1800)
    assert str(found.value) == (
        "SLURM's controller has not answered for 30 minutes (Unable to contact slurm controller); "
        "jobs 1, 2 go on, and the same command takes them over."
    )
