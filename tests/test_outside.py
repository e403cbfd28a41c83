"""A newcomer's parts, one file each, join from outside the packages: CONTRIBUTING.md's table."""

import csv
import json
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir

from tests.conftest import ROOT, run_command

OUTSIDE = Path(__file__).parent / "fixtures" / "outside"
PARTS = sorted(path.stem for path in (OUTSIDE / "newcomer").glob("[a-z]*.py"))
WORDS = [
    "model=patches", "data=stripes", "augment=inverted", "loss=squared_error", "logger=lines",
    "distillation=brier", "+teacher=original",
    "distillation.aggregation={_target_: newcomer.aggregation.most_confident}",
    "sampling={_target_: newcomer.class_sampler.cube_root}",
    "+compression=[halve_blocks,prune,svd]",
    "compression.prune.importance={_target_: newcomer.importance.Cubed}",
    "compression.prune.ratio=0.5", "compression.prune.round_to=2",
    "compression.svd.ranks={_target_: newcomer.rank_rule.Third}",
    "data.image_size=32", "data.batch_size=8", "trainer.max_epochs=1", "latency.backend=null",
    "pictures=false", "report=false",
]  # fmt: skip


@pytest.fixture
def newcomer(homes, monkeypatch):
    """Puts the parts on the path of this process and its commands, and names their options."""
    monkeypatch.syspath_prepend(str(OUTSIDE))
    paths = [str(OUTSIDE), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    yield [*WORDS, f"data.root={homes}"]
    for name in [name for name in sys.modules if name.partition(".")[0] == "newcomer"]:
        del sys.modules[name]


def composed(words):
    from lightning_modules.runs import run_directory
    from lightning_modules.search import study

    run_directory.register_resolvers()
    study.register_sweeper_defaults()
    options = f"hydra.searchpath=[file://{OUTSIDE}/conf]"
    with initialize_config_dir(config_dir=str(ROOT / "conf"), version_base="1.3"):
        return compose("config", overrides=[*words, options])


def test_one_of_each_kind_is_composed_and_built_in_one_process(newcomer, homes):
    from lightning_modules.config.check import check
    from lightning_modules.deployment import backend_named, export, format_named
    from lightning_modules.experiment.experiment import run_experiment
    from lightning_modules.networks import load_network

    cfg, run = composed(newcomer), homes / "run"
    check(cfg)
    run.mkdir()
    metrics = run_experiment(cfg, run, title="newcomer", group="newcomers", is_main_run=True)
    steps = [step["name"] for step in metrics["steps"]]
    assert steps == ["00_train", "01_halve_blocks", "02_prune", "03_svd"]
    entries = json.loads((run / "model" / "recipe.json").read_text())["entries"]
    assert [entry["step"] for entry in entries] == ["newcomer.step.HalveBlocks", "prune", "svd"]
    assert entries[1]["plan"]["why"].startswith("Cubed, ")
    lines = [json.loads(line) for line in (run / "lines.jsonl").read_text().splitlines()]
    assert {"model", "loss", "compression"} <= set(lines[0])
    assert {"03_svd-val/f1", "val/f1"} <= {name for _, values in lines[1:] for name in values}

    network = load_network(run, trust=["newcomer"])
    images = np.random.default_rng(0).integers(0, 255, (3, 3, 32, 32), np.uint8)
    expected = network(torch.from_numpy(images)).softmax(dim=1).detach().numpy()
    form = format_named({"_target_": "newcomer.export.Program"})
    export(network, form, homes / "n.prog", resize_mode="stretch", images=images, image_source="-")
    opened = form.part.open_file(homes / "n.prog", threads=1)
    assert np.allclose(opened(images), expected, atol=1e-5)
    backend = backend_named({"_target_": "newcomer.backend.in_bfloat16"})
    runner = backend(network, resize_mode="stretch", threads=1, file=homes / "n")
    assert np.allclose(runner.call(images), expected, atol=0.02)
    used = {name.rpartition(".")[2] for name in sys.modules if name.startswith("newcomer.")}
    assert used == set(PARTS) - {"backbone"}  # of which there is one a run


def test_a_backbone_is_one_too(newcomer):
    from lightning_modules.networks import build_network

    cfg = composed(["model=plain", "model.width=12"])
    network = build_network(cfg.model, num_classes=4, image_size=16)
    assert network(torch.zeros(2, 3, 16, 16, dtype=torch.uint8)).shape == (2, 4)
    assert network.body[0].out_channels == 12


@pytest.mark.slow
def test_they_go_through_the_commands(newcomer, homes):
    run = homes / "run"
    options = ["--config-dir", str(OUTSIDE / "conf")]
    run_command("run.py", *options, *newcomer, f"hydra.run.dir={run}")
    with (run / "metrics.csv").open() as file:
        steps = [row["step"] for row in csv.DictReader(file)]
    assert list(dict.fromkeys(steps)) == ["00_train", "01_halve_blocks", "02_prune", "03_svd"]
    refused = run_command("scripts/export.py", str(run), check=False)
    assert refused.returncode == 1 and "newcomer" in refused.stderr


def test_the_table_names_each_file():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    named = set(re.findall(r"newcomer/(\w+)\.py", text))
    assert named == set(PARTS)
    options = {path.relative_to(OUTSIDE).as_posix() for path in OUTSIDE.glob("conf/*/*.yaml")}
    assert set(re.findall(r"conf/\w+/\w+\.yaml", text)) >= options


def test_the_tables_of_names_are_where_it_says():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    tables = re.findall(r"`([A-Z_]+)` in `([\w/]+\.py)`", text)
    assert len(tables) == 13
    for name, path in tables:
        assert re.search(rf"^{name}\b.* = ", (ROOT / path).read_text(), re.MULTILINE), (name, path)
    rooms = re.findall(r"\| `((?:compression|datamodules|lightning_modules)[\w/]*)/`", text)
    assert rooms and all((ROOT / room).is_dir() for room in rooms)
