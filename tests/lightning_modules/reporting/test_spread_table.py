"""The table on screen, in Markdown and as CSV say the same."""

import csv
import io

import pytest

from lightning_modules.reporting.spread_table import cells, notes, show, to_csv, to_markdown, write
from lightning_modules.runs.summary import summarize
from tests.lightning_modules.runs.test_summary import record


@pytest.fixture
def summary():
    runs = [record(f"trials/{n}", seed=n, f1=f1) for n, f1 in enumerate((0.8, 0.9, 1.0))]
    runs.append(record("trials/3", seed=3, lr=0.01))
    runs.append(record("trials/4", seed=0, lr=0.01, f1=0.5))
    for run in runs:
        if run.metrics:
            run.metrics["val/loss"] = 1.0
    return summarize(runs)


def test_cells_by_hand(summary):
    headings, rows = cells(summary)
    assert headings == [
        "optimizer.lr", "runs", "seeds", "failed", "val/f1", "sd", "se", "min", "max", "cost/macs"
    ]  # fmt: skip
    assert rows == [
        ["0.001", "3", "3", "0", "0.9000", "0.1000", "0.0577", "0.8000", "1.0000", "1,000"],
        ["0.01", "1", "1", "1", "0.5000", "", "", "0.5000", "0.5000", "1,000"],
    ]


def test_the_other_metrics_show_their_standard_deviation():
    runs = [record(str(n), seed=n, f1=0.5) for n in range(2)]
    for run, accuracy in zip(runs, (0.4, 0.6), strict=True):
        run.metrics["val/accuracy"] = accuracy
    headings, (row,) = cells(summarize(runs))
    assert row[headings.index("val/accuracy")] == "0.5000 (0.1414)"


def test_the_csv_has_every_figure_unrounded(summary):
    first, second = csv.DictReader(io.StringIO(to_csv(summary)))
    assert float(first["optimizer.lr"]) == 0.001
    assert (first["runs"], first["seeds"], first["folds"], first["failed"]) == ("3", "3", "0", "0")
    row = summary.rows[0].spread("val/f1")
    assert float(first["val/f1"]) == row.mean
    assert float(first["val/f1 sd"]) == row.sd
    assert float(first["val/f1 se"]) == row.se
    assert (float(first["val/f1 min"]), float(first["val/f1 max"])) == (0.8, 1.0)
    assert (first["val/f1 n"], first["val/loss"], first["failures"]) == ("3", "1.0", "")
    assert (second["val/f1 sd"], second["failures"]) == ("", "trials/3: it burnt.")


def test_the_csv_names_runs_without_a_configuration():
    from lightning_modules.runs.run_records import Record

    lost = Record("trials/9", record("x").folder, failure="it is damaged.")
    *_, last = csv.DictReader(io.StringIO(to_csv(summarize([record("0", f1=0.5), lost]))))
    assert (last["runs"], last["failed"], last["failures"]) == (
        "0",
        "1",
        "trials/9: it is damaged.",
    )


def test_markdown(summary):
    lines = to_markdown(summary, "a study").splitlines()
    assert lines[0] == "# a study"
    assert lines[4].startswith("| optimizer.lr | runs | seeds | failed | val/f1 | sd |")
    assert lines[5].startswith("| --- | ---: |")
    assert lines[6].startswith("| 0.001 | 3 | 3 | 0 | 0.9000 | 0.1000 |")
    assert lines[-1] == "- failed trials/3 (seed=3): it burnt."


def test_bars_and_brackets_in_values_do_no_harm(capsys):
    runs = [record(str(n), f1=0.5, data={"root": root}) for n, root in enumerate(["a|b", "[red]"])]
    summary = summarize(runs)
    assert r"a\|b" in to_markdown(summary, "x")
    show(summary)
    shown = capsys.readouterr().out
    assert "[red]" in shown and "a|b" in shown


def test_the_screen_names_failures(summary, capsys):
    show(summary)
    shown = capsys.readouterr().out
    assert "mean (sd) over seeds and folds, best val/f1 first" in shown
    assert "failed   trials/3 (seed=3): it burnt." in shown
    assert "0.0577" in shown


def test_folds_come_with_a_warning():
    runs = [record(str(n), fold=n, f1=0.5) for n in range(2)]
    assert "folds share training images" in notes(summarize(runs))[-1]
    assert notes(summarize([record("0", f1=0.5)])) == []
    headings, (row,) = cells(summarize(runs))
    assert row[headings.index("folds")] == "2"


def test_both_files_are_left(summary, tmp_path):
    write(summary, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["summary.csv", "summary.md"]
    assert (tmp_path / "summary.csv").read_text() == to_csv(summary)
