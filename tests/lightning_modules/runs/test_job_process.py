"""A job's process ends with its command, and can start the processes that read images."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest

from lightning_modules.runs import job_process
from lightning_modules.runs.processes import this_process
from tests.conftest import ROOT

JOB = "from lightning_modules.runs import job_process; job_process.follow(); print(1, flush=True)"
JOB += "; import time; time.sleep(60)"


def test_the_command_is_named_for_what_it_starts(monkeypatch):
    monkeypatch.setenv(job_process.LEADER, "")
    job_process.lead()
    assert json.loads(os.environ[job_process.LEADER]) == this_process()
    job_process.follow()  # itself: it does not end with itself
    assert os.getpid() not in job_process._followers


@pytest.mark.parametrize(
    ("changes", "environment", "ends"),
    [
        ({"start": "earlier"}, {}, True),  # ended before the job began
        ({"start": "earlier"}, {"SUBMITIT_EXECUTOR": "slurm"}, False),
        ({"start": "earlier"}, {"SUBMITIT_EXECUTOR": "local"}, True),
        ({"host": "elsewhere"}, {}, False),
        ({}, {}, False),  # it lives
    ],
)
def test_a_job_ends_with_its_command(changes, environment, ends):
    leader = json.dumps({**this_process(), **changes})
    job = subprocess.Popen(
        [sys.executable, "-c", JOB],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), job_process.LEADER: leader, **environment},
        stdout=subprocess.PIPE,
    )
    try:
        if ends:
            assert job.wait(30) == -signal.SIGKILL
        else:
            job.stdout.readline()
            time.sleep(1.5)
            assert job.poll() is None
    finally:
        job.kill()
        job.communicate()


def test_the_start_method_of_loky_is_left(monkeypatch):
    """Else loader workers fail there: 'Process' object has no attribute 'env'."""
    pytest.importorskip("joblib")

    monkeypatch.delenv(job_process.LEADER, raising=False)
    before = multiprocessing.get_start_method(allow_none=True)
    try:
        multiprocessing.set_start_method("loky", force=True)
        job_process.follow()
        assert multiprocessing.get_start_method() == multiprocessing.get_all_start_methods()[0]
        multiprocessing.set_start_method("spawn", force=True)
        job_process.follow()
        assert multiprocessing.get_start_method() == "spawn"
    finally:
        multiprocessing.set_start_method(before, force=True)
