"""A job tells its trial itself, so that the end of the process that launched it loses nothing."""

import pytest
from optuna.trial import TrialState

from lightning_modules.errors import ConfigError
from lightning_modules.runs import this_process
from lightning_modules.search import trial_task
from lightning_modules.search.opened_study import trial_of
from lightning_modules.search.ownership import HEARTBEAT, OWNER, open_trial
from lightning_modules.search.storage import find_study
from lightning_modules.search.trials import FAILURE, RETIRED, mark_failed
from lightning_modules.search.worker import Worker
from tests.lightning_modules.search.conftest import Jobs, rooted


@pytest.fixture
def begin(multirun, tmp_path):
    """Begins a trial of a search; gives the search's worker, the trial and its overrides."""

    def begun(value, *words):
        root = rooted(multirun, tmp_path, "sweep.n_trials=3", *words)
        worker = Worker(root, Jobs(value, root))
        return worker, *worker._ask()

    return begun


def test_the_sweeper_ends_once_its_job_runs(begin, tmp_path, monkeypatch):
    """Killed while it waited: what its job returned is told though nobody looks."""
    here = {**this_process(), "pid": 4242}
    monkeypatch.setattr(trial_task, "this_process", lambda: here)
    monkeypatch.setattr(trial_task, "own_job", lambda: "17")
    seen = {}

    def value(given):
        seen.update(find_study(tmp_path / "study")[0].trials[0].user_attrs)
        return 0.75

    worker, trial, overrides = begin(value)
    token = trial.user_attrs[OWNER]["token"]
    worker._launch(0, overrides)  # and no word more
    told = find_study(tmp_path / "study")[0].trials[0]
    assert (told.state, told.value) == (TrialState.COMPLETE, 0.75)
    assert seen[OWNER] == {**here, "job": "17", "token": token} and seen[HEARTBEAT]["beat"] == 0


def test_what_it_raised_is_told(begin, tmp_path):
    def value(given):
        raise ConfigError("It diverged.")

    worker, _, overrides = begin(value)
    job = worker._launch(0, overrides)
    with pytest.raises(ConfigError, match="diverged"):
        _ = job.return_value
    told = trial_of(worker.study, 0)
    assert told.state == TrialState.FAIL and told.user_attrs[FAILURE] == "It diverged."


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
def test_an_interrupted_one_tells_nothing(begin, interruption):
    """SLURM runs it again, in its own folder."""

    def value(given):
        raise interruption

    worker, _, overrides = begin(value)
    with pytest.raises(interruption):
        worker._launch(0, overrides)
    assert trial_of(worker.study, 0).state == TrialState.RUNNING
    worker.launcher = Jobs(lambda given: 0.5, worker.root)
    worker._launch(0, overrides)
    assert trial_of(worker.study, 0).value == 0.5


def test_one_whose_trial_was_given_up_does_nothing(begin):
    ran = []
    worker, trial, overrides = begin(ran.append)
    mark_failed(worker.study, trial, "gone", worker.folder)
    job = worker._launch(0, overrides)
    with pytest.raises(ConfigError, match="trial 0 was given up before its job began"):
        _ = job.return_value
    assert not ran


def test_one_that_was_silent_and_comes_back_is_told_all_the_same(begin):
    def value(given):
        open_trial(worker.study, trial_of(worker.study, 0)).set_user_attr(RETIRED, "silent")
        return 0.5

    worker, _, overrides = begin(value)
    worker._launch(0, overrides)
    assert trial_of(worker.study, 0).value == 0.5


def test_one_that_another_process_ended_meanwhile_stays_so(begin):
    def value(given):
        mark_failed(worker.study, trial, "gone", worker.folder)
        return 0.5

    worker, trial, overrides = begin(value)
    assert worker._launch(0, overrides).return_value == 0.5
    assert trial_of(worker.study, 0).user_attrs[RETIRED] == "gone"


def test_a_whole_search_of_such_jobs(multirun, tmp_path, capsys):
    root = rooted(multirun, tmp_path, "sweep.n_trials=3")
    Worker(root, Jobs(lambda given: 0.1 * int(given["trial"]), root)).work()
    study, _ = find_study(tmp_path / "study")
    assert [trial.value for trial in study.trials] == [0.0, 0.1, 0.2]
    assert "3 of 3  |  best 0.2 (trial 2)" in capsys.readouterr().out
