"""A finished run on small pictures, made without training; formats and backends of one's own."""

import os
import sys

import pytest
from omegaconf import OmegaConf

from compression import registry
from tests.conftest import ROOT


@pytest.fixture
def saved(homes, folder, compose_config):
    """A saved network, its run directory and its data; the weights are random."""
    import torch

    from lightning_modules.networks import build_network, save_network

    overrides = ["data=image_folder", f"data.root={folder}", "data.image_size=[20,28]"]
    cfg = compose_config(
        *overrides, "data.resize_mode=pad", "model=blocks/diet_found", "logger=none"
    )
    cfg.model.blocks = {
        "b1": [1, "Conv", [8, 3, 2]],
        "b2": [1, "GlobalAvgPool", []],
        "b3": [1, "FixedConv", ["num_classes", 1, 1, None, 1, None]],
    }
    torch.manual_seed(0)
    network = build_network(cfg.model, num_classes=3, image_size=[20, 28]).eval()
    network.class_names = ("blue", "green", "red")
    run = homes / "run"
    save_network(network, run)
    (run / ".hydra").mkdir()
    OmegaConf.save(cfg, run / ".hydra" / "config.yaml")
    return run


OWN_PARTS = '''
"""A format and two backends that are no part of this project."""

import torch

from compression.onnx import export_onnx, onnx_session
from lightning_modules.deployment import InferenceModel, ModelMetadata, Probabilities, Runner


class Mine:
    suffix = ".mine"

    def __init__(self, loud=False):
        self.loud = loud

    def write(self, network, path, metadata):
        if self.loud:
            print("written loudly")
        size, entries = metadata.image_size, metadata.to_entries()
        export_onnx(Probabilities(network), path, size, output="probabilities", metadata=entries)

    def open_file(self, path, *, threads):
        session = onnx_session(str(path), threads=threads)
        entries = session.get_modelmeta().custom_metadata_map
        metadata = ModelMetadata.from_entries(entries, file=str(path))
        return InferenceModel(str(path), metadata, lambda x: session.run(None, {"images": x})[0])


class Forgetful(Mine):
    beside = (".weights",)


class Blank(Mine):
    suffix = ""


class Other(Mine):
    def open_file(self, path, *, threads):
        return super().open_file(path, threads=threads).call


def halves(network, *, resize_mode, threads, file):
    @torch.inference_mode()
    def call(images):
        parts = torch.from_numpy(images).tensor_split(2)
        return torch.cat([network(part).softmax(1) for part in parts if len(part)]).numpy()

    return Runner(call)


def no_runner(network, *, resize_mode, threads, file):
    return network
'''
POINTS = """
[model_diet.exports]
mine = own_parts:Mine
broken = own_parts_that_are_not:Mine
wrong = own_parts:halves
twice = own_parts:Mine
onnx = own_parts:Mine

[model_diet.steps]
own_step = own_parts:Mine

[model_diet.backends]
halves = own_parts:halves
broken = own_parts_that_are_not:halves
"""


@pytest.fixture
def own_parts(tmp_path, monkeypatch):
    """Two installed packages: one offers a format, a backend and mistakes, one a name again."""
    site = tmp_path / "site"
    for name, points in {
        "own_parts": POINTS,
        "others": "[model_diet.exports]\ntwice = own_parts:Mine\n",
    }.items():
        info = site / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(points)
    (site / "own_parts.py").write_text(OWN_PARTS)
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{site}")
    monkeypatch.syspath_prepend(str(site))
    registry._entry_points.cache_clear()
    yield site
    registry._entry_points.cache_clear()
    sys.modules.pop("own_parts", None)
