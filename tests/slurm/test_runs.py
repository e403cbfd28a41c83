"""Searches and multiruns of `run.py` on a real cluster of one node: see `cluster.py`."""

import hashlib
import json
import subprocess
import time

import optuna
import pytest
from optuna.trial import TrialState

from tests.conftest import run_command, start_command
from tests.integration.test_commands import SMALL
from tests.integration.test_search import SEARCH, rows

pytestmark = pytest.mark.slow

UNITS = "model.units=[1,1,1]"
ON_SLURM = "hydra/launcher=submitit_slurm"


def wait_until(holds, process=None, seconds: float = 200) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came"
        assert process is None or process.poll() is None, process.stdout.read()
        time.sleep(0.1)


def started(*words):
    return start_command(*words, stderr=subprocess.STDOUT)


def job_of(run):
    return json.loads((run / "slurm.json").read_text())["job"]


def loaded(study):
    return optuna.load_study(study.name, f"sqlite:///{study / 'study.db'}")


def one_study(homes):
    (study,) = (homes / "outputs" / "studies").iterdir()
    return study


def end(process, code=0):
    said = process.communicate(timeout=400)[0]
    assert process.returncode == code, said
    assert "Traceback" not in said and "submitit." not in said, said
    return said


def test_a_cancelled_job_fails_its_trial_alone(homes, folder, cluster):
    words = [*SEARCH, f"data.root={folder}", UNITS, ON_SLURM, "trainer.max_epochs=4"]
    search = started(*words, "sweep.n_trials=3", "sweep.parallel=2")
    trials = homes / "outputs" / "studies"
    wait_until(lambda: list(trials.glob("*/trials/0/.hydra")), search)
    study = one_study(homes)
    cluster("scancel", job_of(study / "trials" / "0"))
    said = end(search)
    job, logs = job_of(study / "trials" / "0"), study / ".submitit"
    assert [row["state"] for row in rows(study)] == ["failed", "finished", "finished"]
    assert (
        f"SLURM job {job}: it was cancelled; what it said stands in {logs / job}."
        in (study / "trials" / "0" / "failed.txt").read_text()
    )
    assert "1 failed, 2 finished" in said
    assert len(loaded(study).trials) == 3  # none was begun in its place


def test_jobs_outlive_their_search_and_tell_it(homes, folder, cluster):
    words = [*SEARCH, f"data.root={folder}", UNITS, ON_SLURM, "trainer.max_epochs=2"]
    words += ["sweep.n_trials=3", "sweep.parallel=2"]
    search = started(*words)
    studies = homes / "outputs" / "studies"
    wait_until(lambda: len(list(studies.glob("*/trials/*/slurm.json"))) == 2, search)
    search.kill()
    search.wait()
    study = one_study(homes)
    jobs = {run.name: job_of(run) for run in (study / "trials").iterdir()}
    said = end(started(*words))
    trials = loaded(study).trials
    assert [trial.state for trial in trials[:3]] == [TrialState.COMPLETE] * 3
    others = {trial.user_attrs.get("retired") for trial in trials[3:]}
    assert others <= {"another worker was faster"}  # of two who saw one place
    assert {name: job_of(study / "trials" / name) for name in jobs} == jobs
    assert all(trials[int(name)].user_attrs["owner"]["job"] == job for name, job in jobs.items())
    for trial in trials[:3]:
        metrics = json.loads((study / "trials" / str(trial.number) / "metrics.json").read_text())
        assert trial.value == metrics["val/f1"]
    assert "3 finished" in said


@pytest.mark.parametrize("workers", [0, 2])
def test_a_preempted_run_equals_one_that_was_not(homes, folder, cluster, workers):
    words = ["run.py", "-m", *SMALL, f"data.root={folder}", UNITS, "trainer.max_epochs=12"]
    words += [f"data.num_workers={workers}", "seed=1"]
    study, plain = homes / "preempted", homes / "plain"
    multirun = started(*words, ON_SLURM, f"hydra.sweep.dir={study}")
    run = study / "trials" / "0"
    wait_until(lambda: list(run.glob("steps/*/checkpoints/last.ckpt")), multirun)
    cluster("scancel", "--signal=USR2", job_of(run))
    end(multirun)
    run_command(*words, f"hydra.sweep.dir={plain}")
    logs = "".join(path.read_text() for path in study.glob(".submitit/*/*.err"))
    assert logs.count("it is requeued") == 1
    assert weights(run) == weights(plain / "trials" / "0")


def weights(run):
    return hashlib.sha256((run / "model" / "weights.safetensors").read_bytes()).hexdigest()
