"""The table of compression that sees the data: its rows, and that it goes on from its CSV."""

from dataclasses import replace

import pytest

from lightning_modules.config.check import check
from scripts.bench import data_aware, data_aware_bases
from scripts.bench.data_aware import rows
from scripts.bench.data_aware_bases import RunFailedError
from scripts.bench.data_aware_measures import step_of
from scripts.bench.data_aware_rows import BLOCKS, TREATMENTS, WHOLE, Row
from scripts.bench.data_aware_table import append_row, read_rows, table
from tests.conftest import draw_folder

ROW = Row(block="untuned", base="mobilenet_v3_small", data="drawn", size=32, seed=0,
          treatment="prune, taylor", target="macs", share=0.8)  # fmt: skip
ABSENT = ("from_run=", "data.root=", "model.weights=")  # words that name what is not there
FOUND = {"macs": "0.8", "f1_before": "0.8", "f1_after": "0.6", "latency": "0.9", "seconds": "7"}


def test_each_row_is_there_once():
    every = rows()
    assert len({row.key for row in every}) == len(every)
    assert {row.treatment for row in every} <= TREATMENTS.keys()
    assert {row.block for row in every} == BLOCKS.keys()
    assert {row.base for row in rows(["int8", "lite0"])} == {"lite0"}
    assert {row.block for row in rows(["int8", "lite0"])} == {"int8"}


def test_every_step_takes_its_settings():
    for row in {(row.treatment, row.target): row for row in rows()}.values():
        assert (step_of(row) is None) == (row.treatment == WHOLE)


@pytest.mark.slow
def test_all_tunings_can_start(tmp_path, compose_config):
    for row in {row.treatment: row for row in rows() if row.epochs}.values():
        words = [word for word in row.words(tmp_path, tmp_path) if "=" in word]
        own = [word for word in words if not word.startswith(ABSENT)]
        check(compose_config("data=synthetic", *(w for w in own if w != "data=image_folder")))


def test_a_row_reads_as_it_was_written(tmp_path):
    path, note = tmp_path / "table.csv", 'refused: "a", b'
    append_row(path, ROW, FOUND | {"note": note})
    append_row(path, rows()[0], FOUND)
    found = read_rows(path)
    assert list(found) == [ROW.key, rows()[0].key]
    assert found[ROW.key]["note"] == note and found[ROW.key]["f1_after"] == "0.6"
    assert len(path.read_text().splitlines()) == 3


def test_it_goes_on_from_its_table(tmp_path, monkeypatch, capsys):
    path, asked = tmp_path / "table.csv", []
    every = rows(["merge"])
    append_row(path, every[1], FOUND)

    def measured(wanted, folder, shared):
        asked.extend(wanted)
        for number, row in enumerate(wanted):
            yield row, FOUND if number else {"failed": "RuntimeError: no"}

    monkeypatch.setattr(data_aware, "measured", measured)
    words = [str(tmp_path / "runs"), "--only", "merge", "--table", str(path)]
    with pytest.raises(SystemExit, match="still open"):
        data_aware.main(words)
    assert asked == [every[0], *every[2:]]
    assert every[0].key not in read_rows(path)
    monkeypatch.undo()
    data_aware.main([*words, "--show"])
    assert len(capsys.readouterr().out.splitlines()[-5:]) == 5


def test_the_table_says_mean_and_spread_over_seeds():
    seeds = [row for row in rows(["untuned"]) if row.treatment == "svd, blind"][:1]
    seeds += [replace(seeds[0], seed=1)]
    found = {
        row.key: {**FOUND, "note": "", "f1_after": f1} for row, f1 in zip(seeds, "01", strict=True)
    }
    assert table(seeds, found).splitlines()[-1] == (
        "| untuned | lite0, trashnet150, 112 px | svd, blind | 0.8 of macs |  | 2 | 0.800 (0.000) "
        "| 0.500 (0.707) | 0.625 (0.884) | 0.800 (0.000) | 0.900 (0.000) |  |  |"
    )


def test_only_a_sentence_is_a_refusal():
    assert RunFailedError("much\nerror: It cannot be reached.\n").refused
    assert not RunFailedError("Traceback\nKeyError: 1\n").refused
    assert not RunFailedError("interrupted\n").refused


@pytest.mark.slow
def test_rows_are_measured(tmp_path, monkeypatch, homes):
    draw_folder(tmp_path / "data" / "drawn", size=32)
    words = ("model=timm", "model.name=mobileone_s0", "data.batch_size=12")
    monkeypatch.setitem(data_aware_bases.NETWORKS, "mobileone_s0", (words, 1))
    merged = Row(block="merge", base="mobileone_s0", data="drawn", size=32, seed=0,
                 treatment="merge")  # fmt: skip
    pruned = replace(merged, block="untuned", treatment="prune, taylor", target="macs", share=0.8)
    refused, rounded = replace(pruned, share=0.001), replace(merged, block="int8", treatment="int8")
    tuned = replace(merged, block="tuned", treatment=WHOLE, epochs=1)
    wanted = [merged, pruned, refused, rounded, tuned]
    monkeypatch.setattr(data_aware, "rows", lambda only: wanted)
    path = tmp_path / "table.csv"
    data_aware.main([str(tmp_path / "runs"), "--shared", str(tmp_path), "--table", str(path)])
    found = read_rows(path)
    assert list(found) == [row.key for row in wanted]
    whole, smaller, out_of_reach, int8, control = found.values()
    assert float(whole["agreement"]) == 1.0 and float(whole["macs"]) < 0.5
    assert float(smaller["macs"]) <= 0.82 and float(smaller["latency"]) > 0
    assert out_of_reach["note"].startswith("refused: ") and not out_of_reach["f1_after"]
    assert float(int8["macs"]) == float(control["macs"]) == 1.0
    assert not list((tmp_path / "runs" / "runs").glob("*/"))
    assert [run.name for run in (tmp_path / "runs" / "bases").glob("*/")] == [
        "mobileone_s0_drawn_32_0"
    ]
