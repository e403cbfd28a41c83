"""What a job does when SLURM is about to end it, and when it is begun anew too often."""

import os
import signal

import pytest

pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="needs the extra [slurm]")

from datamodules.errors import DataError
from lightning_modules.errors import ConfigError
from lightning_modules.slurm import ending
from lightning_modules.slurm.job_record import JobRecord
from lightning_modules.slurm.launcher import RunLauncher, _living, _Requeued


@pytest.fixture
def launcher():
    return RunLauncher(max_pending_min=1, max_silent_min=2, max_num_timeout=3, submitit_folder="x")


@pytest.fixture
def job(monkeypatch):
    """This process taken for a job; its signals are as before at the end."""
    monkeypatch.setattr(ending, "_ends", [])
    monkeypatch.setattr(ending, "ON_ITS_WAY", 0.1)
    monkeypatch.setattr(ending.os, "register_at_fork", lambda **_: None)
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    monkeypatch.delenv("SLURM_ARRAY_JOB_ID", raising=False)
    monkeypatch.delenv("SLURM_RESTART_COUNT", raising=False)
    before = [(number, signal.getsignal(number)) for number in (signal.SIGTERM, signal.SIGCHLD)]
    yield
    for pair in before:
        signal.signal(*pair)


@pytest.mark.parametrize("restarts", [None, "1", "2"])
def test_it_is_requeued(launcher, programs, job, monkeypatch, capsys, restarts):
    programs("scontrol")
    if restarts:
        monkeypatch.setenv("SLURM_RESTART_COUNT", restarts)
    with pytest.raises(SystemExit):
        launcher.checkpoint(["seed=1"], "hydra.sweep.dir", 0, "0", {})
    assert capsys.readouterr().err == "SLURM ends this job; it is requeued.\n"
    assert programs.said() == ["scontrol requeue 17"]


def test_where_slurm_requeues_it_itself_the_run_only_ends(launcher, programs, job, capsys):
    programs("scontrol", "", "Requested operation is presently disabled", 1)
    with pytest.raises(SystemExit):
        launcher.checkpoint()
    assert capsys.readouterr().err == "SLURM ends this job; no requeue by it.\n"


def test_three_times_at_most(launcher, programs, job, monkeypatch, capsys):
    monkeypatch.setenv("SLURM_RESTART_COUNT", "3")
    with pytest.raises(SystemExit):
        launcher.checkpoint()
    assert "reached its time limit, 4 times; raise hydra.launcher" in capsys.readouterr().err
    task = _Requeued(lambda cfg: cfg + 1, limit=3)
    assert task(1) == 2
    monkeypatch.setenv("SLURM_RESTART_COUNT", "4")  # by SLURM itself
    with pytest.raises(ConfigError, match="reached its time limit, 4 times"):
        task(1)


@pytest.mark.parametrize(
    ("state", "words"),
    [("RUNNING", "it is requeued."), ("COMPLETING", "SLURM ends this job.")],
)
def test_sigterm_requeues_what_was_not_cancelled(programs, job, capsys, state, words):
    programs("scontrol")
    programs("squeue", f"17|{state}|None\n")

    def task(cfg):
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("it went on")

    with pytest.raises(SystemExit):
        _Requeued(task, limit=3)(None)
    assert capsys.readouterr().err.strip().endswith(words)
    assert ("scontrol requeue 17" in programs.said()) == (state == "RUNNING")


def test_what_fails_while_slurm_ends_the_job_is_no_failure(programs, job):
    programs("scontrol")
    programs("squeue", "17|RUNNING|None\n")

    def fails(cfg):
        raise DataError("a worker was killed")

    task = _Requeued(fails, limit=3)
    with pytest.raises(DataError):
        task(None)
    signal.setitimer(signal.ITIMER_REAL, 0.05)  # after the worker's death
    signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(SystemExit):
        task(None)
    with pytest.raises(SystemExit):
        task(None)  # it is known now


def test_a_job_is_taken_over_where_it_lives_and_is_the_same(tmp_path, programs):
    for name in ("sbatch", "scancel", "scontrol"):
        programs(name)
    programs("squeue", "101|PENDING|Resources\n102|CANCELLED|None\n")
    living = JobRecord("101", "/logs", ["seed=1"])
    living.write(tmp_path / "0")
    assert _living(tmp_path / "0", ["seed=1"]) == living
    assert _living(tmp_path / "0", ["seed=2"]) is None
    JobRecord("102", "/logs", ["seed=1"]).write(tmp_path / "1")
    assert _living(tmp_path / "1", ["seed=1"]) is None
    assert _living(tmp_path / "2", ["seed=1"]) is None
