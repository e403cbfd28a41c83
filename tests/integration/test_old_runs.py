"""Runs kept from before modules moved and keys were renamed go on working.

What they are and how they were made stands in `tests/fixtures/runs/README.md`.
"""

import csv
import json
import shutil
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from lightning_modules.networks import load_network
from lightning_modules.networks.probe import INT8_TOLERANCE
from scripts import evaluate, predict
from tests.conftest import ROOT, run_command

RUNS = ROOT / "tests" / "fixtures" / "runs"
FLOATING = ("trained", "pruned_factorized", "distilled", "factorized")
FINISHED = (*FLOATING, "int8")
# The data and the quick settings that the kept runs were made with.
DATA = [
    "data=synthetic", "data.image_size=32", "data.source.scenes=40",
    "data.source.image_size=[96,128]", "data.batch_size=16",
]  # fmt: skip
QUICK = [
    "trainer=cpu", "trainer.memory_format=contiguous", "logger=none", "latency.backend=null",
    "pictures=false", "report=false", "debug=fast",
]  # fmt: skip


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """The drawn images and their cache, the same for all tests here."""
    return tmp_path_factory.mktemp("drawn")


@pytest.fixture
def old(homes, drawn, monkeypatch):
    """Copies a kept run to where it may be written to."""
    monkeypatch.setenv("MODEL_DIET_DATA", str(drawn / "data"))
    monkeypatch.setenv("MODEL_DIET_CACHE", str(drawn / "cache"))

    def copied(name):
        return shutil.copytree(RUNS / name, homes / name)

    return copied


def assert_kept_logits(network, name, *, tolerance):
    """Compares a network's logits with those that the run's own code gave."""
    kept = load_file(RUNS / f"{name}.expected.safetensors")
    with torch.inference_mode():
        logits = network(kept["images"])
    torch.testing.assert_close(logits, kept["logits"], rtol=0, atol=tolerance)


def epochs(run):
    """Step, round and epoch of each row of a run's table."""
    with (run / "metrics.csv").open(newline="") as file:
        return [tuple(row[:3]) for row in csv.reader(file)][1:]


def entries(run):
    return json.loads((run / "model" / "recipe.json").read_text())["entries"]


@pytest.mark.parametrize("name", FINISHED)
def test_networks_load_with_the_logits_they_had(old, name):
    run = old(name)
    for model in run.glob("steps/*/model"):
        load_network(model)  # checks its stored input
    tolerance = INT8_TOLERANCE if name == "int8" else 1e-5
    assert_kept_logits(load_network(run), name, tolerance=tolerance)


@pytest.mark.parametrize("name", FINISHED)
def test_evaluation_repeats_the_figures(old, name):
    run = old(name)
    kept = json.loads((run / "metrics.json").read_text())
    splits = evaluate.evaluate_run(str(run), [])
    assert [split.name for split in splits] == ["val", "test"]
    tolerance = 0.1 if name == "int8" else 1e-4
    for split in splits:
        for metric in ("f1", "accuracy", "loss"):
            expected = kept[f"{split.name}/{metric}"]
            assert split.metrics[metric] == pytest.approx(expected, abs=tolerance)


@pytest.mark.parametrize("name", FINISHED)
def test_prediction(old, folder, name, monkeypatch):
    run, out = old(name), folder / "predictions.csv"
    monkeypatch.setattr(sys, "argv", ["predict.py", str(run), str(folder), "--out", str(out)])
    predict.main()
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 54
    assert {row["class"] for row in rows} <= set(load_network(run).class_names)


def test_an_unfinished_run_resumes_to_where_it_would_have_ended(old):
    run = old("unfinished")
    before = epochs(run)
    run_command("run.py", f"resume={run}")
    rest = [("02_tucker", "1", str(epoch)) for epoch in range(4, 8)]
    assert epochs(run) == [*before, *rest]
    assert_kept_logits(load_network(run), "unfinished", tolerance=1e-3)
    assert [entry["step"] for entry in entries(run)] == ["prune", "tucker", "tucker"]


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("pruned_factorized", "prune"),
        pytest.param("trained", "svd", marks=pytest.mark.slow),
        pytest.param("distilled", "prune_weights", marks=pytest.mark.slow),
        pytest.param("factorized", "prune", marks=pytest.mark.slow),
    ],
)
def test_a_finished_run_is_compressed_further(old, name, step):
    run = old(name)
    kept, new = entries(run), run.with_name("new")
    words = [f"+compression={step}", *QUICK, f"hydra.run.dir={new}"]
    run_command("run.py", f"from_run={run}", *words)
    found = entries(new)
    assert [entry["plan"] for entry in found[: len(kept)]] == [entry["plan"] for entry in kept]
    assert len(found) == len(kept) + 1
    assert not [entry["step"] for entry in found if "." in entry["step"]]  # names, not paths


@pytest.mark.slow
def test_finished_runs_teach(old):
    runs = {name: old(name) for name in FLOATING}
    student = runs["trained"].with_name("student")
    words = [*DATA, *QUICK, "model.units=[1,1,1]", "distillation=logit_standardisation"]
    teachers = [f"+teacher.{name}.run={run}" for name, run in runs.items()]
    run_command("run.py", *words, *teachers, f"hydra.run.dir={student}")
    noted = json.loads((student / "teachers.json").read_text())
    assert noted == {name: str(run) for name, run in runs.items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", FINISHED)
def test_export(old, name):
    import onnxruntime

    run = old(name)
    run_command("scripts/export.py", str(run), "format=onnx")
    (file,) = (run / "export").glob("*.onnx")
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    images = load_file(RUNS / f"{name}.expected.safetensors")["images"].numpy()
    (entrance,) = session.get_inputs()
    probabilities = np.asarray(session.run(None, {entrance.name: images})[0])
    with torch.inference_mode():
        expected = load_network(run)(torch.from_numpy(images)).softmax(dim=1).numpy()
    np.testing.assert_allclose(probabilities, expected, rtol=0, atol=1e-3)


@pytest.mark.slow
def test_the_float_network_before_int8_is_exported(old):
    run = old("int8")
    run_command("scripts/export.py", str(run), "format=onnx", "int8=false")
    assert (run / "export" / "float.onnx").is_file()
