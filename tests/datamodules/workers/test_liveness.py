"""Slow processes are waited for without end, silent ones are not, and dead ones are said so."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from datamodules.errors import DataError
from datamodules.workers import SilenceWatch, death_of, liveness

LINUX = pytest.mark.skipif(not Path("/proc/self/io").is_file(), reason="needs Linux's /proc")


def sleep_for_ever():
    time.sleep(1000)


def compute_for_ever():
    while True:
        sum(range(10_000))


@pytest.fixture
def started():
    """Starts a function in another process, and lets none of them outlive the test."""
    processes = []

    def start(function):
        processes.append(multiprocessing.get_context("fork").Process(target=function, daemon=True))
        processes[-1].start()
        return processes[-1].pid

    yield start
    for process in processes:
        process.kill()
        process.join()


@LINUX
def test_a_process_that_does_nothing_is_not_waited_for(monkeypatch, started):
    monkeypatch.setattr(liveness, "SILENT_CHECKS", 3)
    pid, watch = started(sleep_for_ever), SilenceWatch()
    time.sleep(0.3)  # what starting it took is over
    for _ in range(3):
        watch.check([pid])
    with pytest.raises(DataError, match=r"nothing for 0 minutes: see .* data\.num_workers=0\."):
        watch.check([pid])


@LINUX
@pytest.mark.parametrize("other", [sleep_for_ever, None])
def test_one_that_computes_is_waited_for(monkeypatch, started, other):
    monkeypatch.setattr(liveness, "SILENT_CHECKS", 3)
    pids = [started(compute_for_ever), *([started(other)] if other else [])]
    watch = SilenceWatch()
    for _ in range(5):
        watch.check(pids)
        time.sleep(0.1)


def test_where_the_system_says_nothing_all_are_waited_for(monkeypatch):
    monkeypatch.setattr(liveness, "SILENT_CHECKS", 1)
    watch = SilenceWatch()
    for _ in range(5):
        watch.check([2**22 + 1])  # more than Linux has


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("DataLoader worker (pid 7) is killed by signal: Killed. ", "was killed (Killed), perhaps"),
        (
            "DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that",
            "was killed (Bus error), perhaps",
        ),
        ("DataLoader worker (pid(s) 7, 8) exited unexpectedly", "ended unexpectedly, perhaps"),
        ("Pin memory thread exited unexpectedly", "ended unexpectedly, perhaps"),
        ("mat1 and mat2 shapes cannot be multiplied", None),
    ],
)
def test_what_torch_says_of_a_dead_one(text, said):
    found = death_of(text)
    assert said in str(found) if said else found is None


def test_children_are_looked_at_by_default(started):
    pid = started(sleep_for_ever)
    watch = SilenceWatch()
    watch.check()
    assert watch._seen or not Path("/proc").is_dir()
    os.kill(pid, signal.SIGKILL)
