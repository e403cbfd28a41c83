"""`sweep.parallel=n`: a trial that ends makes room at once, whatever the others take."""

import json
import os
import signal
import time
from multiprocessing import get_context
from pathlib import Path

import pytest

from lightning_modules.errors import ConfigError
from lightning_modules.search.processes import run_study
from lightning_modules.search.storage import find_study
from lightning_modules.search.trials import LATE, RETIRED
from tests.lightning_modules.search.conftest import Computer, rooted

RATE = "optimizer.lr"


@pytest.fixture
def side_by_side(multirun, tmp_path):
    """Runs a search by several processes; returns its study."""

    def run(value, *words, parallel=2):
        root = rooted(multirun, tmp_path, f"sweep.parallel={parallel}", *words)
        run_study(root, Computer(value))
        return find_study(tmp_path / "study")[0]

    return run


def done(study):
    """Its trials, but for those that a worker gave back unused, as another one was faster."""
    return [trial for trial in study.trials if trial.user_attrs.get(RETIRED) != LATE]


def test_a_slow_trial_delays_none(side_by_side, tmp_path, capfd):
    short = tmp_path / "short"
    short.mkdir()

    def value(given):
        if given["trial"] == "0":
            deadline = time.monotonic() + 60
            while len(list(short.iterdir())) < 8 and time.monotonic() < deadline:
                time.sleep(0.01)
            return float(len(list(short.iterdir())))
        (short / given["trial"]).touch()
        return 0.0

    study = side_by_side(value, "sweep.n_trials=9")
    assert [trial.value for trial in done(study)] == [8.0] + [0.0] * 8
    assert "9 of 9  |  best 8 (trial 0)" in capfd.readouterr().out


def test_a_grid_has_each_point_once(side_by_side):
    words = ["sweep.sampler=grid", "optimizer.lr=choice(0.1,0.2,0.3)", "data.batch_size=choice(8)"]
    study = side_by_side(lambda given: 0.5, *words, parallel=4)
    points = [json.dumps(t.params) for t in study.trials if RETIRED not in t.user_attrs]
    assert len(points) == 3 == len(set(points))


def test_a_killed_worker_is_replaced_and_so_is_its_trial(side_by_side, tmp_path, capfd):
    def value(given):
        if given["trial"] == "1":
            os.kill(os.getpid(), signal.SIGKILL)
        return 0.5

    study = side_by_side(value, "sweep.n_trials=4")
    states = {trial.number: trial.user_attrs.get(RETIRED) for trial in done(study)}
    assert states == {0: None, 1: "its process ended", 2: None, 3: None, 4: None}
    assert "a worker was ended by SIGKILL; another one takes its place" in capfd.readouterr().out


def test_trials_that_kill_each_worker_end_the_search(side_by_side):
    def value(given):
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(ConfigError, match=r"^3 workers were ended from outside \(SIGKILL\)"):
        side_by_side(value, "sweep.n_trials=9")


def test_more_failures_than_allowed_end_all(side_by_side):
    def value(given):
        raise ConfigError("no.")

    with pytest.raises(ConfigError, match="more than sweep.max_failure_rate=0.5 allows"):
        side_by_side(value, "sweep.n_trials=9", "sweep.max_failure_rate=0.5")


def test_a_refusal_is_said_once_before_any_worker_starts(side_by_side, tmp_path):
    name = "hydra.sweeper.study_name=mine"
    side_by_side(lambda given: 0.5, name, "sweep.n_trials=2")
    with pytest.raises(ConfigError, match="called mine already, with another fixed overrides"):
        side_by_side(lambda given: 0.5, name, "seed=1")


@pytest.mark.parametrize("whom", ["parent", "group"])
def test_ctrl_c_ends_all_and_what_was_at_work_is_replaced(side_by_side, tmp_path, whom, capfd):
    """Sent to the parent alone by `kill -INT`, or to all by the terminal."""
    work = tmp_path / "work"
    work.mkdir()

    def value(given):
        (work / given["trial"]).touch()
        time.sleep(60)

    def search():
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            side_by_side(value, "sweep.n_trials=4")
        except SystemExit as ending:
            assert str(ending).startswith("interrupted; the same command continues the study ")
            os._exit(7)

    child = get_context("fork").Process(target=search)
    child.start()
    await_files(work, 2)
    (os.kill if whom == "parent" else os.killpg)(child.pid, signal.SIGINT)
    child.join(60)
    assert child.exitcode == 7
    study, _ = find_study(tmp_path / "study")
    assert [trial.user_attrs[RETIRED] for trial in study.trials] == ["interrupted"] * 2


def test_workers_end_with_their_parent(side_by_side, tmp_path):
    work = tmp_path / "work"
    work.mkdir()

    def value(given):
        (work / str(os.getpid())).touch()
        time.sleep(60)

    child = get_context("fork").Process(target=side_by_side, args=(value, "sweep.n_trials=4"))
    child.start()
    await_files(work, 2)
    workers = [Path("/proc", path.name) for path in work.iterdir()]
    child.kill()
    child.join()
    began = time.monotonic()
    while any(path.exists() for path in workers):
        assert time.monotonic() - began < 5
        time.sleep(0.05)


def await_files(folder, count):
    deadline = time.monotonic() + 60
    while len(list(folder.iterdir())) < count:
        assert time.monotonic() < deadline
        time.sleep(0.01)
