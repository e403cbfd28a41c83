"""A multirun outlives failed trials, closes with the spread and says what failed."""

import sys
from types import SimpleNamespace

import pytest
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus
from hydra.types import RunMode
from omegaconf import OmegaConf, open_dict

from lightning_modules.errors import ConfigError
from lightning_modules.experiment import multirun
from lightning_modules.experiment.multirun import CloseMultirun, close, fails_alone, note_failure
from lightning_modules.slurm import ending


@pytest.fixture
def trial(homes, compose_config):
    """The configuration of a trial as Hydra hands it to the hook."""

    def made(*overrides, mode="MULTIRUN"):
        cfg = compose_config(f"hydra.mode={mode}", *overrides, hydra=True)
        with open_dict(cfg):
            cfg.hydra.runtime.output_dir = str(homes / "trial")
            cfg.hydra.job.num = 3
        (homes / "trial").mkdir()
        return cfg

    return made


def job(status, value):
    done = JobReturn()
    done.status, done.return_value = status, value
    return done


def test_a_failed_trial_of_a_plain_sweep_does_not_end_it(homes, trial, caplog):
    done = job(JobStatus.FAILED, ConfigError("optimizer.lr=-1 is not allowed."))
    CloseMultirun().on_job_end(trial(), done)
    assert done.status == JobStatus.COMPLETED
    text = (homes / "trial" / "failed.txt").read_text()
    assert text == "optimizer.lr=-1 is not allowed.\n"
    assert "trial 3 failed: optimizer.lr=-1 is not allowed." in caplog.text


def test_a_search_sees_its_failed_trials(homes, trial, caplog):
    done = job(JobStatus.FAILED, ConfigError("no."))
    CloseMultirun().on_job_end(trial("hydra/sweeper=optuna"), done)
    assert done.status == JobStatus.FAILED
    assert (homes / "trial" / "failed.txt").read_text() == "no.\n"
    assert caplog.text == ""  # the sweeper says it


def test_a_single_run_fails_as_before(homes, trial):
    done = job(JobStatus.FAILED, ConfigError("no."))
    CloseMultirun().on_job_end(trial(mode="RUN"), done)
    assert done.status == JobStatus.FAILED
    assert not (homes / "trial" / "failed.txt").exists()


def test_a_trial_that_succeeds_in_the_end_is_no_failure(homes, trial):
    cfg = trial(mode="RUN")
    (homes / "trial" / "failed.txt").write_text("of the first try\n")
    CloseMultirun().on_job_end(cfg, job(JobStatus.COMPLETED, 0.5))
    assert not (homes / "trial" / "failed.txt").exists()


def test_bugs_leave_their_traceback(tmp_path):
    try:
        raise RuntimeError("CUDA out of memory.\nTried to allocate")
    except RuntimeError as error:
        reason = note_failure(tmp_path, error)
    assert reason == (
        "RuntimeError: CUDA out of memory. Tried to allocate (traceback in failed.txt)"
    )
    first, blank, *rest = (tmp_path / "failed.txt").read_text().splitlines()
    assert (first, blank) == (reason, "")
    assert "test_multirun.py" in "".join(rest)


@pytest.fixture
def study(homes, leave):
    """Two seeds of two learning rates; one trial failed."""
    folder = homes / "study"
    for number, (lr, seed) in enumerate([(0.01, 0), (0.01, 1), (0.02, 0), (0.02, 1)]):
        f1 = None if number == 1 else 0.1 * number
        words = (f"optimizer.lr={lr}", f"seed={seed}")
        trial = leave(folder / "trials" / str(number), *words, f1=f1)
        if f1 is None:
            (trial / "failed.txt").write_text("The loss became nan.\n")
    return folder


def test_the_close_of_a_plain_multirun(study, compose_config, capsys):
    with pytest.raises(SystemExit, match="error: 1 of 4 trials failed"):
        close(study, compose_config(hydra=True))
    shown = capsys.readouterr().out
    assert "failed   trials/1 (seed=1): The loss became nan." in shown
    assert (study / "summary.csv").read_text().splitlines()[1].startswith("0.02,2,2,0,0,0.25,")
    assert (study / "summary.md").is_file()


def test_the_close_of_a_search(study, compose_config, capsys, monkeypatch):
    with pytest.raises(SystemExit, match=r"study is no study: it has no readable study\.json"):
        close(study, compose_config("hydra/sweeper=optuna", hydra=True))
    assert "0.2500" in capsys.readouterr().out  # seeds that were searched have a spread, too


@pytest.mark.parametrize("failed", [False, True])
def test_without_repetitions_only_failures_are_said(homes, leave, compose_config, capsys, failed):
    study = homes / "study"
    leave(study / "trials" / "0", "optimizer.lr=1e-3", f1=0.5)
    leave(study / "trials" / "1", "optimizer.lr=1e-2", f1=None if failed else 0.6)
    if failed:
        with pytest.raises(SystemExit, match="error: 1 of 2 trials failed"):
            close(study, compose_config(hydra=True))
        assert capsys.readouterr().out.startswith("failed   trials/1 (seed=0): it did not finish")
    else:
        close(study, compose_config(hydra=True))
        assert capsys.readouterr().out == ""
    assert not (study / "summary.csv").exists()


@pytest.mark.parametrize(
    ("raised", "says"),
    [
        (OSError("a bug"), "(?s)Traceback.*OSError: a bug"),
        (OSError(28, "No space left", "s.csv"), "^error: s.csv cannot be .*: free some space"),
    ],
)
def test_what_fails_in_the_close_is_no_silent_success(homes, monkeypatch, raised, says):
    def broken(*_):
        raise raised

    monkeypatch.setattr(multirun, "close", broken)
    cfg = OmegaConf.create({"hydra": {"sweep": {"dir": str(homes)}}})
    with pytest.raises(SystemExit, match=says):
        CloseMultirun().on_multirun_end(cfg)


def exits(code=3):
    sys.exit(code)


def interrupted_by_the_user():
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        sys.exit(1)  # as Lightning does


def requeued():
    ending.end(3)


@pytest.fixture
def mode(monkeypatch):
    def set_mode(name):
        hydra = SimpleNamespace(mode=RunMode[name])
        monkeypatch.setattr(HydraConfig, "get", staticmethod(lambda: hydra))

    return set_mode


def test_a_trial_that_exits_fails_alone(mode, monkeypatch):
    monkeypatch.setattr(ending, "_ends", [])
    mode("MULTIRUN")
    with (
        pytest.raises(ConfigError, match=r"the trial ended itself, by SystemExit\(3\)"),
        fails_alone(),
    ):
        exits()
    with pytest.raises(ConfigError), fails_alone():
        try:  # as a run says it
            exits(0)
        except SystemExit:
            raise SystemExit("interrupted; continue from the last whole epoch") from None
    for interruption in (interrupted_by_the_user, requeued):
        with pytest.raises(SystemExit), fails_alone():
            try:
                interruption()
            except SystemExit:
                raise SystemExit("interrupted; continue from the last whole epoch") from None
    mode("RUN")
    with pytest.raises(SystemExit), fails_alone():
        exits()
