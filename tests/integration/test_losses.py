"""Other losses and auxiliary heads, as a user types them: train, save, compress, evaluate."""

import csv
import json

import pytest
import yaml
from safetensors.torch import load_file

from lightning_modules.evaluation.metrics import evaluate
from lightning_modules.experiment import initial_network
from lightning_modules.experiment.run_context import RunContext
from lightning_modules.experiment.stage_run import run_stage
from lightning_modules.experiment.stages import stages_of
from lightning_modules.networks import load_network
from lightning_modules.networks.cosine_head import CosineLinear
from lightning_modules.runs.data import make_data
from tests.conftest import run_command

WORDS = [
    "data.image_size=32", "data.batch_size=12", "model.units=[1,1,1]", "trainer.max_epochs=2",
    "trainer.memory_format=contiguous", "logger=none", "latency.backend=null",
]  # fmt: skip


def figures(run):
    return json.loads((run / "metrics.json").read_text())


@pytest.mark.slow
def test_auxiliary_losses_leave_no_trace_in_what_is_shipped(homes, folder):
    run = homes / "run"
    run_command(
        "run.py", *WORDS, "data=image_folder", f"data.root={folder}", f"hydra.run.dir={run}",
        "loss=f1_focal", "loss.class_weights=sqrt", "auxiliary=[classifiers,reconstruction]",
        "auxiliary.classifiers.at={features.stage2: 0.3}",
        "auxiliary.reconstruction.at={features.stage1: 1.0}", "+compression=tucker",
    )  # fmt: skip
    names = list(load_file(run / "model" / "weights.safetensors"))
    assert all(name.startswith(("body.", "pixels.")) for name in names)
    with (run / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["00_train"] * 2 + ["01_tucker"] * 2
    for row in rows:
        extra = float(row["train/classifiers"]) + float(row["train/reconstruction"])
        assert float(row["train/loss"]) > extra > 0
    first, second = figures(run)["steps"]
    assert first["after"]["cost/params"] == first["before"]["cost/params"]
    assert second["after"]["cost/macs"] < first["after"]["cost/macs"]


def test_arcface_trains_saves_reloads_and_is_compressed(homes, folder, compose_config):
    cfg = compose_config(
        *WORDS, "data=image_folder", f"data.root={folder}", "loss=arcface", "+compression=tucker"
    )
    data = make_data(cfg)
    data.prepare_data()
    data.setup()
    network, context = initial_network(cfg, data), RunContext(cfg, data, homes / "run")
    for stage in stages_of(cfg):
        network, result = run_stage(stage, network, context, [])
        loaded = load_network(homes / "run" / "steps" / stage.name)
        assert isinstance(loaded.body.output, CosineLinear)
        found = evaluate(loaded, data.val_dataloader())
        assert found == {key: result["after"][key] for key in found}
        logits = loaded(next(iter(data.val_dataloader()))[0])
        assert logits.abs().max() <= 16.001


@pytest.mark.slow
def test_arcface_from_the_command_line(homes, folder):
    run = homes / "arcface"
    words = [*WORDS, "loss=arcface", "loss.margin=0.2"]
    where = ["data=image_folder", f"data.root={folder}", f"hydra.run.dir={run}"]
    run_command("run.py", *words, *where, "model.cosine_scale=12")
    run_command("run.py", *words[3:], "+compression=tucker", "from_run=last")
    (smaller,) = (homes / "outputs").glob("*/*_tucker")
    for folder_of in (run, smaller):
        model = yaml.safe_load((folder_of / "model" / "network.yaml").read_text())["model"]
        assert model["cosine_scale"] == 12
    said = run_command("scripts/evaluate.py", str(smaller)).stdout
    assert f"{figures(smaller)['val/f1']:.4f}" in said
    plain = ["+compression=tucker", "from_run=last", *WORDS[3:]]  # cross-entropy on the same head
    run_command("run.py", *plain)
