"""`scripts/report.py` in this process; as a user types it in tests/integration/test_multirun.py."""

import csv
import json

import pytest

from lightning_modules.errors import ConfigError
from scripts.report import main, report


def test_runs_that_differ_in_seed_are_one_row(homes, leave, capsys):
    for seed in range(3):
        leave(homes / f"run{seed}", f"seed={seed}", f1=0.1 * (seed + 1))
    other = leave(homes / "other", "augment=none", "model=resnet", f1=0.9)
    names = [str(homes / f"run{seed}") for seed in range(3)]
    path = homes / "new" / "table.csv"
    summary = report([*names, str(other)], csv=str(path), over=[])
    assert summary.keys == ["model", "augment"]
    with path.open() as file:
        best, plain = csv.DictReader(file)
    assert (best["model"], best["augment"], best["runs"]) == ("resnet", "none", "1")
    assert (plain["model"], plain["augment"], plain["runs"]) == ("shufflenet_g3", "simple", "3")
    assert float(plain["val/f1"]) == pytest.approx(0.2)
    assert float(plain["val/f1 sd"]) == pytest.approx(0.1)
    assert "0.2000" in capsys.readouterr().out


def test_what_is_damaged_is_said_and_the_rest_is_shown(homes, leave, capsys):
    good = leave(homes / "good", f1=0.5)
    damaged = leave(homes / "damaged", f1=0.5)
    (damaged / "metrics.json").write_text("{")
    report([str(good), str(damaged)], csv=None, over=[])
    shown = capsys.readouterr().out
    assert f"{damaged} (seed=0): its metrics.json cannot be read" in shown
    assert "0.5000" in shown
    empty = homes / "empty"
    empty.mkdir()
    with pytest.raises(ConfigError, match="None of these runs has metrics"):
        report([str(damaged), str(empty)], csv=None, over=[])
    assert f"{empty}: it is neither a run" in capsys.readouterr().out


def test_a_pipeline_repeated_from_other_runs(homes, leave):
    words = ["+compression=tucker"]
    runs = [
        str(leave(homes / f"run{n}", *words, f"seed={n}", f"from_run=/runs/{n}", f1=0.5))
        for n in range(2)
    ]
    assert len(report(runs, csv=None, over=[]).rows) == 2
    (row,) = report(runs, csv=None, over=["from_run"]).rows
    assert row.seeds == 2


@pytest.mark.parametrize(
    ("names", "csv", "sentence"),
    [
        (["nowhere"], None, "neither a run directory nor a study called nowhere"),
        (["last"], None, "'last' names no run"),
        (["."], ".", "--csv . is a directory"),
    ],
)
def test_mistakes(homes, names, csv, sentence):
    with pytest.raises(ConfigError, match=sentence):
        report(names, csv=csv, over=[])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "No run was named; give run directories"),
        (["nowhere"], "neither a run directory nor a study called nowhere"),
        (["photos"], "None of these runs has metrics"),
        (["unfinished"], "None of these runs has metrics"),
    ],
)
def test_mistakes_of_the_command(folder, leave, homes, words, says, monkeypatch, capsys):
    leave(homes / "unfinished")
    monkeypatch.chdir(homes)
    with pytest.raises(ConfigError, match=says):
        main(words)
    assert not list(homes.rglob("report.html"))
    told = {"photos": "it is neither a run", "unfinished": "it did not finish; continue it with"}
    shown = capsys.readouterr().out
    assert all(told.get(word, "") in shown for word in words)


def test_the_page_lies_in_the_run_or_where_it_is_wanted(saved, homes, capsys):
    step = {"name": "00_train", "before": {}, "after": {"val/f1": 0.5}}
    metrics = {"val/f1": 0.5, "seed": 0, "kept": "last", "epoch": 0, "steps": [step]}
    confusion = {"classes": ["blue", "green", "red"], "val": [[1, 0, 0], [0, 1, 0], [0, 1, 0]]}
    (saved / "metrics.json").write_text(json.dumps({**metrics, "confusion": confusion}))
    for words, path in (
        ([str(saved)], saved / "report.html"),
        ([str(saved), "--html", str(homes / "new" / "page.html")], homes / "new" / "page.html"),
    ):
        main(words)
        assert capsys.readouterr().out.splitlines()[-1] == f"report   {path}"
        assert "red as green (1)" in path.read_text()
