import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from datamodules.errors import DataError
from datamodules.workers import processes
from datamodules.workers.processes import CHUNK, map_in_processes
from tests.conftest import ROOT


def _square(number):
    return number**2, os.getpid()


def _stumble(number):
    if number == 70:
        raise KeyError("seventy")
    return number


def _die(number):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def worthwhile(monkeypatch):
    monkeypatch.setattr(processes, "MIN_JOBS", 1)
    monkeypatch.setattr(processes, "cores", lambda: 2)


@pytest.mark.parametrize("count", [1, CHUNK - 1, CHUNK, 10 * CHUNK + 3])
def test_in_order_and_in_other_processes(worthwhile, count):
    found = list(map_in_processes(_square, range(count), count=count))
    assert [square for square, _ in found] == [n**2 for n in range(count)]
    assert os.getpid() not in {process for _, process in found}


def test_few_jobs_stay_in_this_process():
    assert {process for _, process in map_in_processes(_square, range(5), count=5)} == {os.getpid()}


def test_only_a_few_jobs_are_taken_ahead(worthwhile):
    taken = []
    jobs = (taken.append(n) or n for n in range(10_000))
    results = map_in_processes(_square, jobs, count=10_000)
    next(results)
    assert len(taken) <= CHUNK * (4 * 2 + 2)
    results.close()


def test_errors_and_killed_processes(worthwhile):
    with pytest.raises(KeyError, match="seventy"):
        list(map_in_processes(_stumble, range(200), count=200))
    with pytest.raises(DataError, match="was killed, perhaps because the memory was full"):
        list(map_in_processes(_die, range(200), count=200))


ORPHANS = """
import os, time
from datamodules.workers import processes
processes.MIN_JOBS = 1
processes.cores = lambda: 2
def work(number):
    os.write(1, f"{os.getpid()}\\n".encode())  # in one piece, beside the other process
    time.sleep(0.2)
list(processes.map_in_processes(work, range(10_000), count=10_000))
"""


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are looked up in /proc")
def test_no_process_outlives_a_killed_parent():
    parent = subprocess.Popen(
        [sys.executable, "-c", ORPHANS], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    children = {int(parent.stdout.readline()) for _ in range(4)}
    parent.kill()
    parent.wait()
    end = time.monotonic() + 20
    while any(Path(f"/proc/{child}").exists() for child in children) and time.monotonic() < end:
        time.sleep(0.1)
    assert not [child for child in children if Path(f"/proc/{child}").exists()]
