"""What each part of a report says of one small run, exactly."""

import csv
import io
import json
import shlex

import pytest
from PIL import Image

from lightning_modules.networks.overview import Row
from lightning_modules.reporting.closing_screen import stage_metrics
from lightning_modules.reporting.pictures.curves import draw_curves
from lightning_modules.reporting.report import (
    commands,
    comparison,
    content,
    headline,
    layers,
)
from lightning_modules.reporting.report.classes import splits
from lightning_modules.reporting.report.report_input import read_input
from tests.lightning_modules.reporting.report.conftest import CLASSES, EPOCHS, STEPS


@pytest.fixture
def run(finished):
    return read_input([str(finished())]).run


def test_the_headline(run):
    assert [tuple(tile) for tile in headline.tiles(run)] == [
        ("macro-F1", "0.6000", "-0.1000"), ("accuracy", "0.6250", "-0.1250"),
        ("MACs", "500", "x 0.25"), ("parameters", "100", "x 0.25"),
        ("latency ms", "1.000", "x 0.50"), ("score/macs", "0.5000", ""),
    ]  # fmt: skip
    assert headline.verdict(run) == (
        "From 2,000 to 500 MACs (x 0.25), from 2.000 to 1.000 ms (x 0.50); "
        "macro-F1 changed by -0.1000."
    )
    facts = dict(headline.facts(run))
    assert facts["model"] == "diet_found"
    assert facts["input"] == "uint8 RGB pixels, N x 3 x 20 x 28; normalisation is inside"
    assert facts["weights"] == "of epoch 1 (trainer.keep=last)"
    how = "eager, batch 1, 1 thread, a <processor>; interquartile range 0.125 ms"
    assert facts["latency"] == how


def test_before_and_after(run):
    table = headline.before_after(run)
    assert table.headings == [
        "step", "macro-F1", "accuracy", "MACs", "parameters", "latency ms", "macro-F1 untuned"
    ]  # fmt: skip
    assert table.rows == [
        ["00_train", "0.7000", "0.7500", "2,000", "400", "2.000", ""],
        ["01_prune", "0.6000", "0.6250", "500", "100", "1.000", "0.2500"],
    ]
    assert table.last == ["change", "-0.1000", "-0.1250", "x 0.25", "x 0.25", "x 0.50", ""]


def test_a_network_that_entered_is_a_stage(finished):
    run = read_input([str(finished(steps=STEPS[1:]))]).run
    assert [name for name, _ in stage_metrics(run.steps)] == ["entered", "01_prune"]
    assert [row[-1] for row in headline.before_after(run).rows] == ["", "0.2500"]
    plain = read_input([str(finished("plain", steps=STEPS[:1]))]).run
    assert headline.verdict(plain) == "" and headline.before_after(plain).last is None


def test_classes(run):
    (split,) = splits(run)
    assert split.name == "validation"
    assert [list(row) for row in split.table.rows] == [
        [CLASSES[0], "1.000", "0.750", "0.857", "4"],
        [CLASSES[1], "0.667", "0.500", "0.571", "4"],
        [CLASSES[2], "0.000", "0.000", "0.000", "0"],
    ]
    told = f"{CLASSES[1]} as {CLASSES[2]} (2), {CLASSES[0]} as {CLASSES[1]} (1)"
    assert split.mistakes == f"Most often mistaken: {told}."
    assert split.worst is None and split.reliability is None
    assert split.confusion.size == (816, 600)


def test_pictures_are_drawn(run, blank, monkeypatch):
    monkeypatch.setattr(content, "to_png", blank)
    found = headline.curves(run)
    assert found.alt == (
        "Training curves over 3 epochs of 00_train, 01_prune: loss, macro-F1 and accuracy; the "
        "highest macro-F1 on the validation split is 0.7."
    )
    with Image.open(io.BytesIO(found.png)) as picture:
        assert picture.size == found.size == (816, 672)
        assert len(set(picture.convert("L").resize((40, 40)).getdata())) > 5


def test_curves():
    epochs = list(csv.DictReader(EPOCHS.splitlines()))
    above, below = draw_curves(epochs, title="t").axes
    points = {line.get_label(): line.get_xydata().tolist() for line in above.lines}
    assert points["training"] == [[1, 1.5], [2, 1.25], [3, 1.0]]
    assert points["validation"] == [[1, 1.25], [2, 1.0]]  # the third was not measured
    points = {line.get_label(): line.get_xydata().tolist() for line in below.lines}
    assert points["macro-F1"] == [[1, 0.5], [2, 0.7], [3, 0.6]]
    assert [(text.get_text(), text.xy[0]) for text in above.texts] == [
        ("00_train", 0.5), ("01_prune", 2.5)
    ]  # fmt: skip


def test_milliseconds_saved_by_layer(run):
    ((table, note),) = layers.savings(run)
    assert table.caption == "01_prune: milliseconds saved layer by layer"
    assert table.rows == [
        ["b", "narrower", "900", "300", "0.5000", "0.2500", "+0.2500", "<i>x"],
        ["c", "removed", "1,000", "0", "0.5000", "0.0000", "+0.5000", ""],
    ]
    sums = ["1,900", "300", "1.0000", "0.2500", "+0.7500"]
    assert list(table.last) == ["changed layers", "", *sums, ""]
    assert "1 layers were left alone; they take 0.25 of the 0.5 ms that are left (50%)." in note


def test_cost_by_layer(run):
    table = layers.layer_costs(run)
    # 3 x 3 x 3 inputs to 8 channels of 10 x 14, 8 to 3; two parameters of BatchNorm a channel.
    assert [tuple(row[3:]) for row in table.rows] == [
        ("232", "30,240", "99.9%"), ("30", "24", "0.1%"),
    ]  # fmt: skip
    assert list(table.last[3:]) == ["262", "30,264", "100.0%"]
    (run.folder / "model" / "weights.safetensors").unlink()
    assert layers.layer_costs(run).startswith("The cost of each layer is left out, for the network")


def test_layers_without_macs_are_one_row():
    plain = {"arguments": "", "shape": None}
    rows = [
        Row(name="a", kind="Conv2d", params=9, macs=75, **plain),
        Row(name="b", kind="BatchNorm2d", params=2, macs=0, **plain),
        Row(name="c", kind="BatchNorm2d", params=4, macs=0, **plain),
        Row(name="d", kind="ReLU", params=0, macs=0, **plain),
        Row(name="e", kind="Linear", arguments="3 -> 2", shape=(2,), params=8, macs=25),
    ]
    table = layers.table_of(rows)
    assert table.rows == [
        ["a", "Conv2d", "", "9", "75", "75.0%"],
        ["e", "Linear 3 -> 2", "2", "8", "25", "25.0%"],
        ["(without MACs)", "BatchNorm2d", "", "6", "0", ""],
    ]
    assert list(table.last) == ["all", "", "", "23", "100", "100.0%"]


def test_tradeoffs_of_stages_and_other_runs(finished, run):
    other = finished("other", "model.width_multiple=2.0", **{"val/f1": 0.9, "cost/macs": 9000})
    records = read_input([str(run.folder), str(other)]).records
    pictures = comparison.tradeoffs(run, records)
    assert [picture.alt.split(". ")[1] for picture in pictures] == [
        "None beats, cheapest first: run (500, F1 0.6000), 00_train (2,000, F1 0.7000), "
        "other (9,000, F1 0.9000).",
        "None beats, cheapest first: other (1, F1 0.9000).",
    ]
    how, _ = comparison.latency_notes(records)
    assert how == "Latency: eager, batch 1, 1 thread, a <processor>."
    assert comparison.latency_notes(records[:1]) == []


def test_what_entered_from_a_named_run_is_shown_once(finished):
    first = finished(steps=STEPS[1:])
    origin = finished("origin", **{"val/f1": 0.7, "cost/macs": 2000})
    inputs = read_input([str(first), str(origin)])
    macs, _ = comparison.tradeoffs(inputs.run, inputs.records)
    assert macs.alt.startswith("Macro-F1 against MACs of one image of 2 networks.")


def test_the_command_that_repeats_a_run(run):
    words = ["data.root='/my photos'", "a=$b", "seed=1", "resume='/runs/x'", "trial=3"]
    folder = run.folder / ".hydra" / "resume"
    folder.mkdir()
    (folder / "overrides.yaml").write_text(json.dumps(words))
    (command,) = commands.rerun(run.folder)
    assert command == "python run.py \"data.root='/my photos'\" 'a=$b' seed=1"
    assert shlex.split(command)[2:] == words[:3]
    (run.folder / ".hydra" / "hydra.yaml").write_text("hydra: {runtime: {cwd: /my work}}")
    assert commands.rerun(run.folder)[0] == "cd '/my work'"
    (folder / "overrides.yaml").unlink()
    (run.folder / ".hydra" / "overrides.yaml").unlink()
    assert commands.rerun(run.folder) == []


def test_the_snippet_loads_the_network(run):
    import torch

    names = {"images": torch.zeros(2, 3, 20, 28, dtype=torch.uint8)}
    exec(commands.loading(run), names)
    assert names["logits"].shape == (2, 3) and names["network"].class_names == CLASSES
