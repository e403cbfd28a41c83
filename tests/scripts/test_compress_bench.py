"""The table of what compression costs: each of its rows is a run that can start."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from lightning_modules.config.check import check
from scripts.bench.compress import Results, fill, rows, table

GIVEN = ["data=synthetic", "data.image_size=80"]


@pytest.fixture
def lines(tmp_path):
    weights = tmp_path / "shufflenet.pth"
    weights.touch()
    return rows(str(weights), GIVEN)


def finish(results, row, seed, f1):
    """The metrics that a row's run would leave."""
    costs = {"val/f1": 0.8, "cost/macs": 1000, "cost/params": 100, "cost/latency_ms": 2.0}
    after = {"val/f1": f1, "cost/macs": 500, "cost/params": 40, "cost/latency_ms": 1.5}
    folder = results.run(row.name, seed)
    folder.mkdir(parents=True)
    steps = [{"before": costs, "after": after}]
    (folder / "metrics.json").write_text(json.dumps({**after, "steps": steps}))


@pytest.mark.slow
def test_all_rows_can_start(lines, tmp_path, compose_config):
    results = Results(tmp_path)
    for number, row in enumerate(lines):
        for seed in row.seeds:
            words = row.words(results, seed)
            taught = [word for word in words if word.startswith("+teacher.s")]
            words = [word for word in words if word not in taught]  # their runs do not exist here
            if seed == 0:  # composing takes its time, and seeds differ in nothing else
                check(compose_config(*GIVEN, *words))
            finish(results, row, seed, f1=0.7 + number / 1000)
    names = [row.name for row in lines]
    assert len(set(names)) == len(names)
    # All there is at seed 0: nothing is run again, and the best row's settings are the last one's.
    assert [failure for row in lines for failure in fill(row, results, lines)] == []
    best = next(row for row in lines if row.name == "channels by the best importance")
    assert "compression.prune.importance=random" in best.words(results, 1)


def test_what_depends_on_others_waits(lines, tmp_path):
    results = Results(tmp_path)
    row = next(row for row in lines if row.name == "channels by the best importance")
    assert row.words(results, 0) is None
    failures = fill(row, results, lines)
    assert len(failures) == 3 and "is not finished" in failures[0]
    assert not list(Path(tmp_path).glob("channels*"))


def test_one_run_stands_for_all_rows_that_ask_for_it(lines, tmp_path):
    results = Results(tmp_path)
    singles = [row for row in lines if row.name.startswith("channels by ")]
    *importances, best = [row for row in singles if row.family == "mobilenet"]
    for row in importances:
        finish(results, row, 0, 0.8 if row.name == "channels by taylor" else 0.7)
    finish(results, next(row for row in lines if row.name == "mobilenet"), 0, 0.8)
    assert fill(replace(best, seeds=(0,)), results, lines) == []
    assert results.run(best.name, 0).resolve() == results.run("channels by taylor", 0).resolve()


def test_the_table(lines, tmp_path):
    results = Results(tmp_path)
    row = next(row for row in lines if row.name == "layers [2,5,2]")
    for seed, f1 in enumerate((0.7, 0.8)):
        finish(results, row, seed, f1)
    assert table(results, lines).splitlines()[-1] == (
        "| layers [2,5,2] | 2 | 0.800 (0.000) | 0.750 (0.071) | x 0.50 | x 0.40 | x 0.75 |"
    )
