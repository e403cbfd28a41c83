"""Searches past one process: launchers, and several workers on one PostgreSQL study."""

import signal
import subprocess
import time

import optuna
import pytest

from tests.conftest import run_command, start_command
from tests.integration.test_search import SEARCH, progress, rows
from tests.postgresql_server import postgresql_server, programs

UNITS = "model.units=[1,1,1]"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("launcher", "package"),
    [("joblib", "hydra_joblib_launcher"), ("submitit_local", "hydra_submitit_launcher")],
)
def test_trials_side_by_side(homes, folder, launcher, package):
    pytest.importorskip(f"hydra_plugins.{package}", reason=f"needs {package}")
    words = [*SEARCH, f"data.root={folder}", UNITS, f"hydra/launcher={launcher}"]
    pruning = ["sweep.pruner=median", "sweep.pruner_epochs=1", "trainer.max_epochs=2"]
    run_command(*words, *pruning, "sweep.parallel=2", "sweep.n_trials=3")
    (study,) = (homes / "outputs" / "studies").iterdir()
    assert [row["state"] for row in rows(study)] == ["finished"] * 3
    loaded = optuna.load_study(study.name, f"sqlite:///{study / 'study.db'}")
    _, second, third = (trial.datetime_start for trial in loaded.trials)
    assert second < loaded.trials[0].datetime_complete  # two at once,
    assert third > loaded.trials[1].datetime_start  # and the rest when these had ended
    assert all(len(trial.intermediate_values) == 2 for trial in loaded.trials)


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
