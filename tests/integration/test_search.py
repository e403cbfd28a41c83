"""A search as a user types it: its directory, its limits, its end, and what continues it."""

import csv
import random
import signal
import subprocess
import time

import optuna
import pytest

from tests.conftest import draw_folder, run_command, start_command
from tests.integration.test_commands import SMALL, read

SEARCH = ["run.py", "-m", "hydra/sweeper=optuna", *SMALL]


def rows(study):
    with (study / "trials.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_a_search_with_limits_is_continued_by_its_command(homes, folder):
    words = [
        *SEARCH, f"data.root={folder}", "model.units=choice([1,1,1],[2,4,2])", "logger=wandb",
        "objective=[val/f1,cost/macs]", "sweep.direction=[maximize,minimize]",
        "sweep.limits={params: 20000}", "optimizer.lr=1e-3", "data.batch_size=8",
        "optimizer.weight_decay=0.02", "loss.label_smoothing=0.1", "sweep.sampler=grid",
    ]  # fmt: skip
    done = run_command(*words, "sweep.n_trials=1")
    again = run_command(*words)
    (study,) = (homes / "outputs" / "studies").iterdir()
    assert study.name.startswith("hyperparameters_shufflenet_g3_image_folder_")
    assert sorted(path.name for path in (study / "trials").iterdir()) == ["0", "1"]
    small, large = rows(study)
    metrics = read(study / "trials" / "0")
    assert (small["state"], large["state"]) == ("finished", "refused")
    assert float(small["val/f1"]) == metrics["val/f1"]
    assert float(small["cost/macs"]) == metrics["cost/macs"]
    assert float(large["cost/params"]) > 20000 > metrics["cost/params"]
    assert not (study / "trials" / "1" / "steps").exists()  # it was never trained
    assert f"trial 0  val/f1 {metrics['val/f1']:.6g}" in done.stdout
    assert "trial 0  " not in again.stdout and "not trained  |  2 of 2" in again.stdout
    assert "1 finished, 1 refused" in again.stdout
    assert not (homes / "outputs" / "last_finished").exists()
    assert "cost/latency_ms" not in metrics and "val/f1/red" in metrics
    assert not list(study.glob("trials/*/figures"))
    (record,) = study.glob("trials/*/wandb/offline-run-*/run-*.wandb")  # of the trained one
    told = b" ".join(record.read_bytes().split())
    for part in (study.name.encode(), b'"model.units"', b"search/pruned"):
        assert part in told, part


@pytest.mark.slow
def test_trials_end_early_and_failures_are_said(homes, folder):
    words = [
        *SEARCH, f"data.root={folder}", "model.units=[1,1,1]", "trainer.max_epochs=4",
        "sweep.pruner=median", "sweep.pruner_epochs=1", "hydra.sweeper.params={}",
        "hydra.sweeper.study_name=mine",
    ]  # fmt: skip
    # Four good ones, then one that learns nothing, and one that cannot be.
    rates = "optimizer.lr=choice(3e-3,3.1e-3,3.2e-3,3.3e-3,1e-9,-1)"
    run_command(*words, rates, "sweep.sampler=grid")
    study = homes / "outputs" / "studies" / "mine"
    *_, stopped, failed = rows(study)
    epoch = int(stopped["stopped after epoch"])
    assert stopped["state"] == "stopped" and 1 <= epoch < 4
    assert float(stopped["val/f1"]) == read(study / "trials" / "4")["val/f1"]
    assert len((study / "trials" / "4" / "metrics.csv").read_text().splitlines()) == epoch + 1
    assert failed["state"] == "failed" and "optimizer.lr=-1 is not allowed" in failed["reason"]

    bad = [*SEARCH, f"data.root={folder}", "hydra.sweeper.params={}", "optimizer.lr=choice(-1,-2)"]
    done = run_command(*bad, "sweep.n_trials=2", check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: All 2 trials failed; the last one: opt")
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.slow
def test_five_kills(homes):
    photos = draw_folder(homes / "photos")
    words = [*SEARCH, f"data.root={photos}", "model.units=[1,1,1]", "sweep.n_trials=20"]
    draws = random.Random(0)
    folder = homes / "outputs" / "studies"
    for number in range(5):
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = start_command(*words, "trainer.max_epochs=2", **quiet)
        before = progress(folder)
        while process.poll() is None and progress(folder) == before:
            time.sleep(0.02)
        time.sleep(draws.uniform(0, 3))
        process.kill()
        assert process.wait() == -signal.SIGKILL, number
    finished = {}
    if list(folder.glob("*/trials/*/metrics.json")):
        finished = {p: p.stat().st_mtime for p in folder.glob("*/trials/*/metrics.json")}
    run_command(*words, "trainer.max_epochs=2")
    (study,) = folder.iterdir()
    loaded = optuna.load_study(study.name, f"sqlite:///{study / 'study.db'}")
    states = [row["state"] for row in rows(study)]
    assert states.count("finished") == 20 and set(states) == {"finished", "retired"}
    assert {path: path.stat().st_mtime for path in finished} == finished
    for trial in loaded.trials:
        if trial.state == optuna.trial.TrialState.COMPLETE:
            assert trial.value == read(study / "trials" / str(trial.number))["val/f1"]
    assert len({str(trial.params) for trial in loaded.trials if trial.params}) == len(
        [trial for trial in loaded.trials if trial.params]
    )


def progress(folder):
    """Grows with each epoch of any trial."""
    return sum(len(path.read_text().splitlines()) for path in folder.glob("*/trials/*/metrics.csv"))
