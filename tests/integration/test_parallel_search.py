"""Searches past one process: launchers, and several workers on one PostgreSQL study."""

import signal
import subprocess
import time

import optuna
import pytest

from lightning_modules.runs import start_of
from tests.conftest import run_command, start_command
from tests.integration.test_commands import SMALL
from tests.integration.test_search import SEARCH, progress, rows
from tests.postgresql_server import postgresql_server, programs

UNITS = "model.units=[1,1,1]"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("launcher", "workers"), [("basic", 0), ("joblib", 1), ("submitit_local", 2)]
)
def test_trials_side_by_side(homes, folder, launcher, workers):
    needs_launcher(launcher)
    words = [*SEARCH, f"data.root={folder}", UNITS, f"hydra/launcher={launcher}"]
    words.append(f"data.num_workers={workers}")
    pruning = ["sweep.pruner=median", "sweep.pruner_epochs=1", "trainer.max_epochs=2"]
    run_command(*words, *pruning, "sweep.parallel=2", "sweep.n_trials=3")
    (study,) = (homes / "outputs" / "studies").iterdir()
    assert [row["state"] for row in rows(study)] == ["finished"] * 3
    loaded = optuna.load_study(study.name, f"sqlite:///{study / 'study.db'}")
    _, second, third = (trial.datetime_start for trial in loaded.trials)
    assert second < loaded.trials[0].datetime_complete  # two at once,
    ends = (trial.datetime_complete for trial in loaded.trials[:2])
    assert third > min(ends)  # and the next one when one of them had ended
    assert all(len(trial.intermediate_values) == 2 for trial in loaded.trials)


def needs_launcher(name):
    package = {"joblib": "joblib", "submitit_local": "submitit"}.get(name)
    if package is not None:
        pytest.importorskip(f"hydra_plugins.hydra_{package}_launcher", reason=f"needs {package}")


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_plain_multirun_by_joblib_reads_images_in_processes(homes, folder, workers):
    """Loader workers inside joblib's: 'Process' object has no attribute 'env'."""
    needs_launcher("joblib")
    words = ["run.py", "-m", *SMALL, f"data.root={folder}", UNITS, "hydra/launcher=joblib"]
    run_command(*words, f"data.num_workers={workers}", "optimizer.lr=1e-3,2e-3")
    (study,) = (homes / "outputs" / "studies").iterdir()
    assert len(list(study.glob("trials/*/metrics.json"))) == 2


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", "joblib", "submitit_local"])
@pytest.mark.parametrize("search", [True, False], ids=["search", "multirun"])
def test_what_a_killed_command_started_ends_within_five_seconds(homes, folder, launcher, search):
    """Its workers, their jobs' processes, and the loader workers below these."""
    needs_launcher(launcher)
    words = [*SMALL, f"data.root={folder}", UNITS, f"hydra/launcher={launcher}"]
    words += ["data.num_workers=1", "trainer.max_epochs=400"]
    if search:
        words += ["hydra/sweeper=optuna", "sweep.parallel=2", "sweep.n_trials=2"]
    else:
        words += ["optimizer.lr=1e-3,2e-3"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    command = start_command("run.py", "-m", *words, **quiet, cold=True)
    at_work = 2 if search or launcher != "basic" else 1
    wait_for(lambda: len(list(homes.glob("outputs/studies/*/trials/*/metrics.csv"))) >= at_work)
    started = below(command.pid)
    loaders = 2 * at_work  # one of the training images, one of the validation images
    assert len(started) >= loaders + (at_work if search or launcher != "basic" else 0), started
    command.kill()
    command.wait()
    killed = time.monotonic()
    while alive := [pid for pid in started if start_of(pid) == started[pid]]:
        assert time.monotonic() - killed < 5, alive
        time.sleep(0.05)


@pytest.mark.slow
def test_a_killed_search_of_several_workers_goes_on(homes, folder):
    words = [*SEARCH, f"data.root={folder}", UNITS, "sweep.parallel=2", "sweep.n_trials=6"]
    words.append("trainer.max_epochs=4")
    studies = homes / "outputs" / "studies"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    command = start_command(*words, **quiet)
    wait_for(lambda: len(list(studies.glob("*/trials/*/metrics.json"))) >= 2)
    command.kill()
    command.wait()
    whole = {path.parent.name for path in studies.glob("*/trials/*/metrics.json")}
    said = run_command(*words).stdout
    (study,) = studies.iterdir()
    states = {row["trial"]: row["state"] for row in rows(study)}
    assert list(states.values()).count("finished") == 6 and "6 finished" in said
    assert {states[number] for number in whole} == {"finished"}  # nothing is thrown away
    assert set(states.values()) <= {"finished", "retired"} and len(states) <= 8


def below(pid):
    """The processes that one started, and those that these did, with the start times of all."""
    table = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True)
    pairs = [tuple(map(int, line.split())) for line in table.stdout.splitlines()]
    found, new = set(), {pid}
    while new:
        new = {child for child, parent in pairs if parent in new} - found
        found |= new
    return {one: start for one in found if (start := start_of(one)) is not None}


def wait_for(condition):
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def postgresql():
    """The URL of an empty database, of a server of this test's own on the loopback."""
    pytest.importorskip("psycopg2", reason="needs the extra [postgresql]")
    if programs() is None:
        pytest.skip("PostgreSQL's server is not installed")
    with postgresql_server() as server:
        yield server.url


@pytest.mark.slow
def test_two_workers_on_one_database_one_of_them_killed(homes, folder, postgresql):
    words = [*SEARCH, f"data.root={folder}", UNITS, f"hydra.sweeper.storage={postgresql}"]
    words += ["trainer.max_epochs=2", "sweep.n_trials=8"]
    studies = homes / "outputs" / "studies"
    workers = [start_command(*words, stderr=subprocess.STDOUT) for _ in range(2)]
    while progress(studies) < 5:  # trials of both are at work
        ended = [w.stdout.read() for w in workers if w.poll() is not None]
        assert not ended, ended[0]
        time.sleep(0.02)
    workers[0].kill()
    assert workers[0].wait() == -signal.SIGKILL
    said = workers[1].communicate(timeout=400)[0]
    assert workers[1].returncode == 0, said
    (study,) = studies.iterdir()
    assert not (study / "study.db").exists()
    loaded = optuna.load_study(study.name, postgresql)
    finished = [t for t in loaded.trials if t.state == optuna.trial.TrialState.COMPLETE]
    owners = {trial.user_attrs["owner"]["pid"] for trial in loaded.trials}
    assert owners == {worker.pid for worker in workers}
    assert len(finished) == 8 and len(loaded.trials) in (8, 9)  # the killed one was replaced
    assert {t.user_attrs.get("retired") for t in loaded.trials} <= {None, "its process ended"}
    assert len({str(trial.params) for trial in finished}) == 8
    again = run_command("scripts/report.py", str(study))
    assert "8 finished" in again.stdout
