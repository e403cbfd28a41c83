"""Runs are grouped by configuration; mean and spread of each group, best first."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lightning_modules.runs.run_records import Record
from lightning_modules.runs.summary import summarize


def record(name, *, seed=0, fold=None, lr=1e-3, f1=None, finished=1.0, choices=None, **config):
    """A run of one network whose only interesting setting is its learning rate."""
    composed = {
        "objective": "${sweep.objective}",
        "sweep": {"objective": "val/f1"},
        "optimizer": {"lr": lr},
        "seed": seed,
        "data": {"fold": fold},
        **config,
    }
    metrics = {} if f1 is None else {"val/f1": f1, "cost/macs": 1000}
    failure = "it burnt." if f1 is None else None
    return Record(name, Path(name), composed, choices or {}, metrics, finished, failure)


def test_rows_are_configurations_and_the_best_comes_first():
    runs = [
        record(f"{lr}-{seed}", lr=lr, seed=seed, f1=f1)
        for lr, scores in {1e-3: (0.5, 0.6), 3e-3: (0.7, 0.9), 1e-2: (0.2, 0.1)}.items()
        for seed, f1 in enumerate(scores)
    ]
    summary = summarize(runs)
    assert summary.keys == ["optimizer.lr"]
    assert [row.settings["optimizer.lr"] for row in summary.rows] == [3e-3, 1e-3, 1e-2]
    assert [row.spread("val/f1").mean for row in summary.rows] == pytest.approx([0.8, 0.55, 0.15])
    assert [row.seeds for row in summary.rows] == [2, 2, 2]
    assert summary.metrics == ["val/f1", "cost/macs"]
    assert summary.repeats
    assert summary.failures == summary.remarks == []
    cheapest = summarize(runs, objective="cost/macs").rows
    assert cheapest[0].spread("cost/macs").mean == 1000


def test_seeds_times_folds():
    runs = [
        record(f"{seed}-{fold}", seed=seed, fold=fold, f1=0.1 * fold + 0.01 * seed)
        for seed in range(2)
        for fold in range(5)
    ]
    (row,) = summarize(runs).rows
    assert (row.seeds, row.folds, row.repetitions) == (2, 5, 10)
    values = [0.1 * fold + 0.01 * seed for seed in range(2) for fold in range(5)]
    assert row.spread("val/f1").n == 10
    assert row.spread("val/f1").sd == pytest.approx(np.std(values, ddof=1))


def test_a_failure_in_the_middle_is_counted_and_named():
    runs = [
        record("trials/0", seed=0, f1=0.5),
        record("trials/1", seed=1),
        record("trials/2", seed=2, f1=0.7),
        record("trials/3", seed=0, lr=1),
    ]
    summary = summarize(runs)
    best, last = summary.rows
    assert [run.name for run in best.records] == ["trials/0", "trials/2"]
    assert [run.name for run in best.failed] == ["trials/1"]
    assert best.spread("val/f1").n == 2
    assert last.records == () and last.spread("val/f1") is None
    assert summary.failures == [
        "trials/1 (seed=1): it burnt.",
        "trials/3 (seed=0): it burnt.",
    ]


def test_a_study_of_other_things_repeats_nothing():
    runs = [record(str(n), lr=n + 1, f1=0.5) for n in range(20)]
    summary = summarize(runs)
    assert not summary.repeats
    assert len(summary.rows) == 20
    again = record("20", lr=1, f1=0.5, finished=2.0)  # the same values tried twice
    assert not summarize([*runs, again]).repeats


def test_of_two_equal_runs_the_newer_counts():
    old = record("old", f1=0.1, finished=1.0)
    new = record("new", f1=0.3, finished=2.0)
    summary = summarize([old, new, record("other", seed=1, f1=0.5)])
    (row,) = summary.rows
    assert row.spread("val/f1").mean == pytest.approx(0.4)
    assert summary.remarks == ["old is left out: new is newer and repeats it with seed=0."]


def test_repetitions_over_another_key():
    runs = [record(str(n), seed=n, f1=0.5, from_run=f"/runs/{n}") for n in range(3)]
    assert [row.seeds for row in summarize(runs).rows] == [1, 1, 1]
    (row,) = summarize(runs, over=("seed", "data.fold", "from_run")).rows
    assert row.seeds == 3


def test_metrics_that_some_runs_lack():
    slow = record("0", seed=0, f1=0.5)
    slow.metrics["cost/latency_ms"] = 2.0
    summary = summarize([slow, record("1", seed=1, f1=0.7)])
    (row,) = summary.rows
    assert row.spread("cost/latency_ms").n == 1
    assert summary.metrics == ["val/f1", "cost/macs", "cost/latency_ms"]


def test_the_objective_is_the_runs_own():
    runs = [record("0", f1=0.5, objective=["cost/macs", "val/f1"])]
    assert summarize(runs).objective == "cost/macs"
    assert summarize([record("0", f1=0.5)]).objective == "val/f1"
    assert summarize([Record("x", Path("x"), failure="gone.")]).objective == "val/f1"


def test_options_name_what_they_bring():
    runs = [
        record(name, f1=0.5, choices={"model": name, "logger": "wandb"}, model={"depth": depth})
        for name, depth in {"resnet": 18, "vgg": 11}.items()
    ]
    assert summarize(runs).keys == ["model"]


RUNS = st.lists(
    st.tuples(
        st.sampled_from([1e-3, 1e-2]),
        st.integers(0, 3),
        st.sampled_from([None, 0, 1]),
        st.none() | st.floats(0, 1),
        st.integers(0, 3),
    ),
    max_size=12,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(RUNS, st.randoms())
def test_the_order_of_runs_does_not_matter(drawn, random):
    runs = [
        record(str(n), lr=lr, seed=seed, fold=fold, f1=f1, finished=float(time))
        for n, (lr, seed, fold, f1, time) in enumerate(drawn)
    ]
    shuffled = list(runs)
    random.shuffle(shuffled)
    summary = summarize(runs)
    assert summarize(shuffled) == summary
    counted = sum(len(row.records) + len(row.failed) for row in summary.rows)
    assert counted + len(summary.remarks) == len(runs)
    assert len(summary.failures) == sum(run.failure is not None for run in runs)
