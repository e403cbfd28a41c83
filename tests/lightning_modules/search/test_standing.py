"""How a study stands, at the cost of what is new."""

import csv

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from lightning_modules.search import standing
from lightning_modules.search.standing import Standing
from lightning_modules.search.trials import VIOLATION, best_of, best_trials


def study_of(values, directions=("maximize",)):
    study = optuna.create_study(directions=directions)
    study.set_user_attr("objectives", ["val/f1", "cost/macs"][: len(directions)])
    study.add_trials(
        [create_trial(state=TrialState.COMPLETE, values=one) for one in values],
    )
    return study


def test_a_line_knows_the_best_of_all_that_was_seen(tmp_path):
    study = study_of([[0.5], [0.7], [0.7], [0.6]])
    shown = Standing(study, tmp_path)
    assert (
        shown.line(study.trials[:1], 0, 9)
        == "trial 0  val/f1 0.5  |  1 of 9  |  best 0.5 (trial 0)"
    )
    line = shown.line(study.trials, 3, 9)
    assert line == "trial 3  val/f1 0.6  |  4 of 9  |  best 0.7 (trial 1)"


def test_each_trial_that_ended_is_read_once(tmp_path, monkeypatch):
    read, plain = [], standing.record_of
    monkeypatch.setattr(standing, "record_of", lambda t: read.append(t.number) or plain(t))
    study = study_of([[0.5], [0.4]])
    study.ask()
    shown = Standing(study, tmp_path)
    for _ in range(3):
        shown.write(study.trials)
    assert read == [0, 1, 2, 2, 2]  # the last one is at work


def test_the_front_is_that_of_optuna(tmp_path):
    values = [[a % 11, a % 11 + a * 5 % 7] for a in range(60)]
    study = study_of(values, ("maximize", "minimize"))
    expected = [trial.number for trial in study.best_trials]
    assert [trial.number for trial in best_trials(study)] == expected and len(expected) > 2
    shown, front = Standing(study, tmp_path), []
    for end in range(1, 61):  # grown trial by trial
        line = shown.line(study.trials[:end], end - 1, 60)
    assert line.endswith(f"60 of 60  |  {len(expected)} on the Pareto front")
    for trial in study.trials:
        front = best_of([*front, trial], ["maximize", "minimize"])
    assert [trial.number for trial in front] == expected


def test_who_is_over_the_limits_is_not_on_the_front():
    study = study_of([[0.1, 5.0]], ("maximize", "minimize"))
    over = create_trial(state=TrialState.COMPLETE, values=[0.9, 1.0], user_attrs={VIOLATION: 0.1})
    study.add_trial(over)
    assert [trial.number for trial in best_trials(study)] == [0]


@pytest.mark.parametrize(("seconds", "written"), [(0.0, 5), (1.0, 1)])
def test_writing_the_table_takes_a_twentieth_of_the_time(tmp_path, monkeypatch, seconds, written):
    clock, tables = [0.0], []

    def write(*given):
        tables.append(given)
        clock[0] += seconds

    monkeypatch.setattr(standing, "write_trials", write)
    monkeypatch.setattr(standing.time, "monotonic", lambda: clock[0])
    study = study_of([[0.5]])
    shown = Standing(study, tmp_path)
    for _ in range(5):
        shown.write(study.trials, at_once=False)
        clock[0] += 0.1
    assert len(tables) == written
    clock[0] += 20
    shown.write(study.trials, at_once=False)
    assert len(tables) == written + 1
    shown.write(study.trials)
    assert len(tables) == written + 2


def test_the_table_has_a_row_for_each(tmp_path):
    study = study_of([[0.5], [0.4]])
    Standing(study, tmp_path).write(study.trials)
    with (tmp_path / "trials.csv").open() as file:
        assert [row["val/f1"] for row in csv.DictReader(file)] == ["0.5", "0.4"]
