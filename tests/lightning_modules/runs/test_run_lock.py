"""Two processes never work in one run; a kill leaves nothing that blocks."""

import contextlib
import fcntl
import os
import platform
import signal
from multiprocessing import get_context

import pytest

from lightning_modules.config import CheckBeforeStart
from lightning_modules.errors import ConfigError
from lightning_modules.runs import run_lock
from lightning_modules.runs.run_lock import LOCK, Holder, held, hold, holder, release


@contextlib.contextmanager
def another_process(work, *words):
    """A forked process that does something and then waits until it is killed."""
    reader, writer = os.pipe()
    if not (child := os.fork()):
        try:
            os.write(writer, str(work(*words)).encode() or b"-")
            signal.pause()
        finally:
            os._exit(1)
    try:
        yield child, os.read(reader, 1000).decode()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reader)
        os.close(writer)


def test_a_run_that_another_process_holds(tmp_path):
    assert holder(tmp_path) is None
    with another_process(hold, tmp_path) as (child, _):
        assert holder(tmp_path) == Holder(platform.node(), child)
        sentence = f"is at work: process {child} on this host, {platform.node()} holds it; wait"
        with pytest.raises(ConfigError, match=sentence), held(tmp_path):
            pass
        assert (tmp_path / LOCK).is_file()
    assert holder(tmp_path) is None  # it was killed
    with held(tmp_path):
        assert holder(tmp_path) == Holder(platform.node(), os.getpid())
        with held(tmp_path / "."):  # again, by the same process
            pass
        with another_process(holder, tmp_path) as (_, seen):
            assert seen == f"process {os.getpid()} on this host, {platform.node()}"
    assert list(tmp_path.iterdir()) == []


def test_another_host_is_named(tmp_path, monkeypatch):
    with another_process(hold, tmp_path):
        (tmp_path / LOCK).write_text('{"host": "node7", "pid": 12}')
        with pytest.raises(ConfigError, match="at work: process 12 on node7 holds it"):
            hold(tmp_path)
        (tmp_path / LOCK).write_text("")  # the moment before it says so
        assert str(holder(tmp_path)) == "another process"


def test_a_forked_worker_neither_holds_nor_releases(tmp_path):
    with held(tmp_path):
        worker = get_context("fork").Process(target=release, args=(tmp_path,))
        worker.start()
        worker.join()
        with another_process(holder, tmp_path) as (_, seen):
            assert seen.startswith(f"process {os.getpid()} ")


def test_a_worker_that_outlives_a_killed_run_does_not_hold_it(tmp_path):
    def work():
        hold(tmp_path)
        if not (worker := os.fork()):
            signal.pause()
        return worker

    with another_process(work) as (_, worker):
        pass
    try:
        assert holder(tmp_path) is None
        with held(tmp_path):
            pass
    finally:
        os.kill(int(worker), signal.SIGKILL)


def test_a_question_does_not_refuse_a_start(tmp_path, monkeypatch):
    (tmp_path / LOCK).touch()

    def ask():
        descriptor = os.open(tmp_path / LOCK, os.O_RDONLY)
        fcntl.lockf(descriptor, fcntl.LOCK_SH)

    with another_process(ask) as (child, _):

        def end_it(seconds):
            os.kill(child, signal.SIGKILL)
            os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)

        monkeypatch.setattr(run_lock.time, "sleep", end_it)
        hold(tmp_path)
    release(tmp_path)


def test_a_folder_that_became_anothers_keeps_its_lock(tmp_path):
    hold(tmp_path)
    (tmp_path / LOCK).unlink()
    (tmp_path / LOCK).write_text("of another run")
    release(tmp_path)
    assert (tmp_path / LOCK).read_text() == "of another run"


def test_a_disk_without_locks(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(run_lock.fcntl, "lockf", refuse)
    with pytest.raises(ConfigError, match=r"knows no locks \(No locks available\); choose another"):
        hold(tmp_path)


@pytest.fixture
def unchecked(monkeypatch):
    """A multirun whose trials nothing composes."""
    monkeypatch.setattr("lightning_modules.config.check.check_multirun", lambda cfg: None)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("sweep", [False, True])
def test_a_command_holds_its_run_before_anything_is_written(homes, compose_config, sweep):
    places = {"run": homes / "run", "sweep": homes / "study"}
    folder = places["sweep" if sweep else "run"]
    words = [f"hydra.{name}.dir={place}" for name, place in places.items()]
    cfg = compose_config("data=synthetic", *words, hydra=True)
    begin = CheckBeforeStart().on_multirun_start if sweep else CheckBeforeStart().on_run_start
    folder.mkdir()
    with another_process(hold, folder), pytest.raises(SystemExit, match="error: .* is at work: "):
        begin(cfg)
    begin(cfg)
    assert str(holder(folder)).startswith(f"process {os.getpid()} ")
    release(folder)
    if not sweep:
        (folder / "steps").mkdir()
        with pytest.raises(SystemExit, match="already holds a run; continue it"):
            begin(cfg)
    left = [] if sweep else ["depends_on.json", "steps"]  # the version is noted at once
    assert sorted(path.name for path in folder.iterdir()) == left


@pytest.mark.usefixtures("unchecked")
def test_workers_of_one_search_share_its_folder(homes, compose_config):
    cfg = compose_config(f"hydra.sweep.dir={homes}/s", "hydra/sweeper=optuna", hydra=True)
    (homes / "s" / "figures").mkdir(parents=True)
    parts = [f".trials.csv.{os.getpid()}.part", ".trials.csv.99999999.part"]  # one was killed
    for name in (*parts, "figures/.front.png.99999999.part"):
        (homes / "s" / name).touch()
    CheckBeforeStart().on_multirun_start(cfg)
    assert holder(homes / "s") is None
    assert {path.name for path in (homes / "s").rglob("*")} == {"figures", parts[0]}
