"""Trials whose process is gone are told what their folders say, and only else replaced."""

import json

import pytest
from optuna.trial import TrialState

from lightning_modules.runs import this_process
from lightning_modules.search.liveness import Watch
from lightning_modules.search.opened_study import new_trial
from lightning_modules.search.orphans import finish_orphans
from lightning_modules.search.ownership import HEARTBEAT, OWNER, SWEEPER, open_trial
from lightning_modules.search.storage import open_study
from lightning_modules.search.trials import FAILURE, PRUNED, RETIRED, VIOLATION, counts, state_of
from tests.lightning_modules.search.conftest import rooted

DEAD = {**this_process(), "start": "earlier"}
AWAY = {**this_process(), "host": "elsewhere"}


@pytest.fixture
def left(multirun, tmp_path):
    """Looks at a study with one running trial of an owner that is gone; returns the trial.

    `files` are what its run left behind.
    """

    def finished(files, *words, owner=DEAD, looks=1, values=None):
        root = rooted(multirun, tmp_path, *words)
        study = open_study(root)
        attributes = {OWNER: owner, SWEEPER: owner, HEARTBEAT: {"beat": 3, "at": 0.0}}
        if not study.trials:
            trial = open_trial(study, new_trial(study, attributes))
            if values is not None:
                trial.storage.set_trial_values(1, values)
        run = tmp_path / "study" / "trials" / "0"
        run.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            text = content if isinstance(content, str) else json.dumps(content)
            (run / name).write_text(text)
        watch = Watch(root.sweep.silent_minutes)
        for _ in range(looks):
            trials = finish_orphans(study, root, watch)
        assert [t.state for t in trials] == [t.state for t in study.trials]
        return trials[0]

    return finished


def test_a_whole_run_is_told(left):
    trial = left({"metrics.json": {"val/f1": 0.25, "cost/macs": 7}, "stopped.json": {"epoch": 2}})
    assert (trial.state, trial.value) == (TrialState.COMPLETE, 0.25)
    assert trial.user_attrs["figures"] == {"val/f1": 0.25, "cost/macs": 7}
    assert trial.user_attrs[PRUNED] == 2 and state_of(trial) == "stopped"


def test_a_run_without_its_objective_is_not_whole(left):
    """Its finishing was interrupted: the metrics of the test split were still to come."""
    trial = left({"metrics.json": {"val/f1": 0.25, "cost/macs": 7}}, "objective=test/f1")
    assert trial.state == TrialState.FAIL and trial.user_attrs[RETIRED] == "its process ended"


def test_a_refused_one_has_its_penalty(left):
    over = {"costs": {"cost/macs": 3e6}, "violation": 0.5}
    trial = left({"over_limits.json": over})
    assert trial.value == -0.5 and state_of(trial) == "refused"


def test_a_whole_run_over_the_limits_is_refused(left):
    """It was killed between writing its metrics and writing that."""
    metrics = {"val/f1": 0.9, "cost/macs": 3e6}
    trial = left({"metrics.json": metrics}, "sweep.limits.macs=2e6", "+compression=prune")
    assert trial.value == -0.5 and trial.user_attrs[VIOLATION] == 0.5


def test_one_that_raised_counts(left):
    trial = left({"failed.txt": "It diverged.\n"})
    assert trial.user_attrs[FAILURE] == "It diverged." and counts(trial)


@pytest.mark.parametrize(
    "why",
    [
        "OSError: [Errno 28] No space left on device: 'last.ckpt' (traceback in failed.txt)",
        "The study's storage sqlite:///study.db cannot be used: database or disk is full.",
    ],
)
def test_one_that_a_full_disk_ended_is_replaced(left, why):
    trial = left({"failed.txt": f"{why}\n"})
    assert not counts(trial) and why in trial.user_attrs[RETIRED]


def test_one_killed_between_its_values_and_its_state_is_told(left):
    trial = left({"failed.txt": "no"}, values=[0.25])
    assert (trial.state, trial.value) == (TrialState.COMPLETE, 0.25)


def test_any_other_is_replaced(left):
    trial = left({})
    assert trial.state == TrialState.FAIL and not counts(trial)


def test_a_silent_one_is_replaced_and_stays_open_for_what_it_may_tell(left):
    silent = {"owner": AWAY, "looks": 2}
    trial = left({}, "sweep.silent_minutes=1e-9", **silent)
    assert trial.state == TrialState.RUNNING and not counts(trial)
    assert trial.user_attrs[RETIRED] == "silent for 1e-09 minutes" and state_of(trial) == "retired"
    trial = left({"metrics.json": {"val/f1": 0.75}}, "sweep.silent_minutes=1e-9", **silent)
    assert trial.value == 0.75 and counts(trial) and state_of(trial) == "finished"


def test_of_one_elsewhere_nothing_is_read_while_it_may_write(left):
    trial = left({"metrics.json": {"val/f1": 0.75}}, owner=AWAY, looks=2)
    assert trial.state == TrialState.RUNNING
    trial = left({}, "sweep.mark_failed=[0]", owner=AWAY)
    assert trial.value == 0.75  # never thrown away, though the user says that its host is gone
