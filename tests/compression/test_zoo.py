"""The zoo table: what scripts/bench/zoo.csv says is enough, and still true."""

import re

import pytest

from lightning_modules.errors import ConfigError
from scripts.bench import zoo, zoo_cells
from scripts.bench.zoo_networks import NETWORKS

NEWER = {"efficientvit_m0", "efficientvit_m5", "mixnet_s", "hiera_tiny_224", "nest_tiny",
         "nf_seresnet26"}  # fmt: skip
# Of the networks that were there first, those that a step did not bring to 0.6 of the MACs then.
OUT_OF_REACH = {
    "prune": {"davit_tiny", "skresnet18"},
    "svd": {"swin_t", "swin_v2_t", "edgenext_xx_small"},
}
REPEATED = [
    ("shufflenet_v2_x0_5", "prune"),
    ("shufflenet_v2_x0_5", "masked"),
    ("mixnet_s", "masked"),
    ("efficientvit_m0", "masked"),
    ("lcnet_050", "quantize_aware"),
    ("resnet18", "tucker"),
    ("mobilenet_v3_small", "svd"),
    ("nf_seresnet26", "tucker"),
    ("seresnet18", "quantize"),
    ("vit_tiny_patch16_224", "onnx"),
]


def share(column, good):
    cells = [row[column] for row in zoo.read_table().values()]
    return sum(cell.startswith(good) for cell in cells) / len(cells)


def test_every_cell_is_there():
    table = zoo.read_table()
    assert [*table] == [*NETWORKS] and len(table) >= 59
    for name, row in table.items():
        assert list(row) == ["px", *zoo_cells.COLUMNS], name
        assert all(row.values()), name


def test_what_fails_says_why_before_training():
    for name, row in zoo.read_table().items():
        for column, cell in row.items():
            if column != "px" and not zoo.succeeded(cell):
                assert re.match(r"(before training|not asked): \w.{10}", cell), (name, column, cell)


def test_pruned_networks_equal_the_masked_original():
    for name, row in zoo.read_table().items():
        if row["masked"].startswith("not asked"):
            assert row["prune"].startswith("before training"), name
        else:
            verdict, difference, *_ = row["masked"].split()
            assert verdict == "equal" and float(difference) <= 1e-4, name


def test_nine_in_ten_are_trained_in_int8_and_more_are_exported():
    assert share("quantize_aware", "yes") >= 0.9
    assert share("quantize", "yes") >= 0.9
    assert share("onnx", "yes") >= 0.95


@pytest.mark.parametrize("column", OUT_OF_REACH)
def test_what_was_reached_still_is(column):
    for name, row in zoo.read_table().items():
        if name not in OUT_OF_REACH[column] | NEWER:
            word, _, macs = row[column].partition(" ")
            assert word == "reached" and float(macs) <= 0.6 * zoo_cells.SLACK, name


@pytest.mark.slow
@pytest.mark.parametrize(("name", "column"), REPEATED)
def test_a_cell_of_the_table(name, column):
    written = zoo.read_table()[name][column].split()
    found = zoo_cells.COLUMNS[column](zoo_cells.Case(name)).split()
    assert found[0] == written[0]
    if found[0] == "reached":
        assert float(found[1]) == pytest.approx(float(written[1]), abs=0.01)


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """Runs the command on a table of its own, without networks; what was measured, in order."""
    found = []

    def measured(name, columns):
        for column in ["px", *columns]:
            found.append((name, column))
            yield column, "64" if column == "px" else answers.get(column, "yes")

    answers = {"svd": "after training: no", "executorch": "not installed"}
    monkeypatch.setattr(zoo, "measured", measured)
    table = tmp_path / "zoo.csv"

    def run(*words):
        found.clear()
        zoo.main([*words, "--table", str(table)])
        return [pair for pair in found if pair[1] != "px"], zoo.read_table(table)

    return run


def test_a_second_start_measures_what_is_missing(asked):
    assert asked("resnet18", "--column", "svd")[0] == [("resnet18", "svd")]
    pairs, table = asked("resnet18", "alexnet", "--column", "svd", "--column", "onnx")
    assert pairs == [("resnet18", "onnx"), ("alexnet", "svd"), ("alexnet", "onnx")]
    assert table["resnet18"]["svd"] == "after training: no"
    assert [*table] == ["alexnet", "resnet18"]  # in the order of the zoo, not of the command
    assert asked("resnet18", "alexnet", "--column", "svd")[0] == []
    assert asked("resnet18", "--failed")[0] == [("resnet18", "svd")]
    assert asked("resnet18", "--column", "onnx", "--again")[0] == [("resnet18", "onnx")]


def test_a_format_that_is_missing_is_asked_again_once_it_is_installed(asked, monkeypatch):
    assert asked("resnet18", "--column", "executorch")[1]["resnet18"]["executorch"] == (
        "not installed"
    )
    monkeypatch.setattr(zoo, "find_spec", lambda name: None)
    assert asked("resnet18", "--column", "executorch")[0] == []
    monkeypatch.setattr(zoo, "find_spec", lambda name: name)
    assert asked("resnet18", "--column", "executorch")[0] == [("resnet18", "executorch")]


@pytest.mark.parametrize("words", [["resnet17"], ["--column", "latency"]])
def test_unknown_words_are_refused(words):
    with pytest.raises(ConfigError, match="There is no"):
        zoo.main(words)


@pytest.mark.slow
def test_a_process_that_takes_too_long_costs_one_cell():
    cells = dict(zoo.measured("shufflenet_v2_x0_5", ["prune"], limit=0.01))
    assert cells["px"] == cells["prune"] == "after training: not done within 0 s"
