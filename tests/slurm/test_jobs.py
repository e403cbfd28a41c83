"""What becomes of a multirun's jobs on a real cluster of one node: see `cluster.py`."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.slow


class App:
    """A started `app.py -m ...`, its study, and its jobs."""

    def __init__(self, study: Path, *words: str):
        self.study, self.words, self.log = study, words, study.with_suffix(".log")
        self.process = self.start()

    def start(self) -> subprocess.Popen:
        fixed = [f"hydra.sweep.dir={self.study}", "hydra.launcher.signal_delay_s=1"]
        with self.log.open("w") as log:
            return subprocess.Popen(
                [sys.executable, "tests/slurm/app.py", "-m", *fixed, *self.words],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def trial(self, number: int) -> Path:
        return self.study / "trials" / str(number)

    def job(self, number: int) -> str:
        file = self.trial(number) / "slurm.json"
        wait_until(file.exists)
        return json.loads(file.read_text())["job"]

    def starts(self, number: int) -> int:
        """How often the job of a trial began."""
        file = self.trial(number) / "starts"
        return len(file.read_text().splitlines()) if file.exists() else 0

    def tenths(self, number: int) -> int:
        file = self.trial(number) / "tenths"
        return len(file.read_text()) if file.exists() else 0

    def failure(self, number: int) -> str | None:
        file = self.trial(number) / "failed.txt"
        return file.read_text().splitlines()[0] if file.exists() else None

    def finished(self) -> list[int]:
        return sorted(int(path.parent.name) for path in self.study.glob("trials/*/metrics.json"))

    def end(self, code: int) -> str:
        self.process.wait(180)
        said = self.log.read_text()
        assert self.process.returncode == code, said
        assert "Traceback" not in said, said
        return said


@pytest.fixture
def app(cluster, tmp_path):
    begun = []

    def start(*words: str) -> App:
        begun.append(App(tmp_path / "study", *words))
        return begun[-1]

    yield start
    for one in begun:
        one.process.kill()


def wait_until(holds, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.05)


def cancelled(app: App, number: int) -> str:
    logs = app.study / ".submitit" / app.job(number)
    return f"SLURM job {app.job(number)}: it was cancelled; what it said stands in {logs}."


def test_a_cancelled_job_fails_alone(app, cluster):
    one = app("value=1,2,3", "seconds=9", "hydra.launcher.array_parallelism=2")
    wait_until(lambda: one.tenths(1) > 3)
    cluster("scancel", one.job(1))
    cluster("scancel", one.job(2))  # which waits for its turn
    said = one.end(1)
    assert one.finished() == [0] and one.starts(2) == 0
    assert (one.failure(1), one.failure(2)) == (cancelled(one, 1), cancelled(one, 2))
    assert f"trial 1 failed: {cancelled(one, 1)}" in said
    assert "error: 2 of 3 trials failed" in said


def test_all_jobs_cancelled(app, cluster):
    one = app("value=1,2", "seconds=60")
    wait_until(lambda: one.tenths(0) and one.tenths(1))
    cluster("scancel", one.job(0).partition("_")[0])
    assert "error: 2 of 2 trials failed" in one.end(1)
    assert [one.failure(n) for n in (0, 1)] == [cancelled(one, n) for n in (0, 1)]


def test_a_bug_in_a_job_is_said_as_anywhere(app):
    one = app("value=1", "failing=true,false")
    said = one.end(1)
    assert one.finished() == [1]
    assert "trial 0 failed: ValueError: a bug of the task (traceback in failed.txt)" in (
        said + "".join(path.read_text() for path in one.study.glob(".submitit/*/*log*"))
    )
    assert "error: 1 of 2 trials failed" in said


def test_a_preempted_job_goes_on_in_its_folder_three_times(app, cluster):
    one = app("value=1,2", "seconds=6")
    for count in range(1, 5):
        wait_until(lambda count=count: one.starts(1) == count and one.tenths(1) > 5 * count)
        if count == 1:
            cluster("scancel", "--signal=USR2", one.job(0))
        cluster("scancel", "--signal=USR2", one.job(1))
    said = one.end(1)
    assert one.finished() == [0]
    assert (one.starts(0), one.tenths(0)) == (2, 60)  # it went on where it was
    assert one.starts(1) == 4
    assert one.failure(1) == (
        "The job was preempted, or reached its time limit, 4 times; raise "
        "hydra.launcher.timeout_min or hydra.launcher.max_num_timeout."
    )
    assert "error: 1 of 2 trials failed" in said


def test_a_job_whose_place_another_takes(app, cluster):
    one = app("value=1", "seconds=4")
    wait_until(lambda: one.tenths(0) > 3)
    cluster("sbatch", "--partition=urgent", "--ntasks=4", "--output=/dev/null", "--wrap=sleep 1")
    one.end(0)
    assert one.finished() == [0]
    assert (one.starts(0), one.tenths(0)) == (2, 40)


def test_the_time_limit_is_such_an_end(app):
    one = app("value=1", "seconds=70", "hydra.launcher.timeout_min=1")
    one.end(0)
    assert one.starts(0) == 2 and one.tenths(0) == 700


def test_the_controller_and_the_node_are_started_again(app, cluster):
    one = app("value=1,2", "seconds=8")
    wait_until(lambda: one.tenths(0) > 3)
    cluster.end("slurmctld")  # which saves its jobs; a killed one forgets the last ten seconds
    cluster.end("slurmd")
    time.sleep(4)
    cluster.start_controller()
    cluster.start_node()
    one.end(0)
    assert one.finished() == [0, 1]
    assert (one.starts(0), one.starts(1)) == (1, 1)


def test_jobs_are_submitted_once_the_controller_is_back(app, cluster):
    cluster.end("slurmctld")
    one = app("value=1", "seconds=1")
    wait_until(lambda: "SLURM takes no jobs for now, trying on: " in one.log.read_text())
    cluster.start_controller()
    one.end(0)
    assert (one.finished(), one.starts(0)) == ([0], 1)


def test_jobs_outlive_who_submitted_them(app, cluster):
    words = ("value=1,2,3", "seconds=6", "hydra.launcher.array_parallelism=2")
    one = app(*words)
    wait_until(lambda: one.tenths(0) > 3 and one.tenths(1) > 3)
    one.process.kill()
    one.process.wait()
    jobs = [one.job(n) for n in range(3)]
    again = app(*words)
    said = again.end(0)
    assert [again.job(n) for n in range(3)] == jobs
    assert [again.starts(n) for n in range(3)] == [1, 1, 1]
    assert again.finished() == [0, 1, 2]
    assert said.count("at work already") == 3


def test_ctrl_c_ends_the_jobs(app, cluster):
    one = app("value=1,2", "seconds=60")
    wait_until(lambda: one.tenths(0) and one.tenths(1))
    one.process.send_signal(signal.SIGINT)
    assert one.process.wait(60) != 0
    wait_until(lambda: not cluster("squeue", "-h", "-t", "PD,R,CG").strip())


def test_a_job_that_never_starts(app):
    later = "+hydra.launcher.additional_parameters.begin=now+1hour"
    one = app("value=1", later, "hydra.launcher.max_pending_min=0.05")
    one.end(1)
    sentence = f"SLURM job {one.job(0)}: it did not start within hydra.launcher.max_pending_min "
    assert str(one.failure(0)).startswith(f"{sentence}(BeginTime); ")
    assert one.starts(0) == 0


def test_jobs_that_slurm_refuses(app):
    one = app("value=1", "hydra.launcher.partition=nowhere")
    said = one.end(1)
    assert re.search(
        r"^error: SLURM takes no jobs: .*invalid partition specified: nowhere", said, re.M
    )
