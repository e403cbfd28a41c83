"""A trial reports the best value so far, also after a resume, and ends where others did better."""

import json
from types import SimpleNamespace

import optuna
import pytest

from lightning_modules.runs.run_records import STOPPED
from lightning_modules.search.pruners import make_pruner
from lightning_modules.search.trial_pruning import TrialPruning


def epochs(callback, values, of=6):
    """Lets a training measure these values; returns how many epochs it took."""
    trainer = SimpleNamespace(max_epochs=of, should_stop=False)
    for number, value in enumerate(values):
        trainer.current_epoch, trainer.callback_metrics = number, {"val/f1": value}
        callback.on_train_epoch_end(trainer, None)
        if trainer.should_stop:
            return number + 1
    return len(values)


@pytest.mark.parametrize(
    ("direction", "reported"),
    [("maximize", [0.3, 0.5, 0.5, 0.6]), ("minimize", [0.3, 0.3, 0.2, 0.2])],
)
def test_the_best_value_so_far_is_reported(tmp_path, direction, reported):
    trial = optuna.create_study(direction=direction).ask()
    epochs(TrialPruning(trial, "val/f1", tmp_path), [0.3, 0.5])
    again = TrialPruning(trial, "val/f1", tmp_path, epochs_before=2)  # the next fit of the run
    epochs(again, [0.2, 0.6])
    frozen = trial.study.trials[0]
    assert frozen.intermediate_values == dict(enumerate(reported, start=1))


def test_a_repeated_epoch_is_reported_under_its_own_number(tmp_path):
    """The run was killed after an epoch was reported, before it was saved."""
    trial = optuna.create_study(direction="maximize").ask()
    epochs(TrialPruning(trial, "val/f1", tmp_path), [0.3, 0.5])
    again = TrialPruning(trial, "val/f1", tmp_path)
    trainer = SimpleNamespace(max_epochs=6, should_stop=False)
    for number, value in enumerate([0.5, 0.4], start=1):
        trainer.current_epoch, trainer.callback_metrics = number, {"val/f1": value}
        again.on_train_epoch_end(trainer, None)
    assert trial.study.trials[0].intermediate_values == {1: 0.3, 2: 0.5, 3: 0.5}


def test_an_epoch_without_validation_reports_nothing(tmp_path):
    trial = optuna.create_study(direction="maximize").ask()
    callback = TrialPruning(trial, "val/f1", tmp_path)
    trainer = SimpleNamespace(max_epochs=6, should_stop=False)
    for number, measured in enumerate([{}, {"val/f1": 0.4}, {"train/loss": 1.0}]):
        trainer.current_epoch, trainer.callback_metrics = number, measured
        callback.on_train_epoch_end(trainer, None)
    assert trial.study.trials[0].intermediate_values == {2: 0.4}


@pytest.mark.parametrize(("done", "stops"), [(0, False), (1, False), (2, True), (3, True)])
def test_a_stopped_trial_is_not_trained_further_by_a_resume(tmp_path, done, stops):
    (tmp_path / STOPPED).write_text('{"epoch": 5}')
    trial = optuna.create_study().ask()
    callback = TrialPruning(trial, "val/f1", tmp_path, epochs_before=3)
    trainer = SimpleNamespace(current_epoch=done, should_stop=False)
    callback.on_train_start(trainer, None)
    assert trainer.should_stop == stops
    assert (callback.stop_reason is not None) == stops


def test_a_dip_ends_no_trial_and_a_poor_one_ends(tmp_path):
    cfg = SimpleNamespace(sweep=SimpleNamespace(pruner="successive_halving", pruner_epochs=None))
    pruner = make_pruner(cfg, epochs=6)  # whose first rung is the second epoch
    searched = optuna.create_study(direction="maximize", pruner=pruner)
    for number, (values, took) in enumerate(
        [([0.2, 0.4, 0.5], 3), ([0.45, 0.1, 0.6], 3), ([0.3, 0.39, 0.9], 2)]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        trial = searched.ask()
        assert epochs(TrialPruning(trial, "val/f1", folder), values) == took
        searched.tell(trial, values[took - 1])
        assert (folder / STOPPED).is_file() == (took == 2)
    assert json.loads((folder / STOPPED).read_text()) == {"epoch": 2}
