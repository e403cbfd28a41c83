"""A finished run of a hundred weights whose names and messages want to be markup."""

import io
import json

import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

from lightning_modules.reporting.report import content

HOSTILE = "<script>alert(1)</script>"
CLASSES = (HOSTILE, 'a "glass" & <b>bold</b>', "long_" * 20)
MATRIX = [[3, 1, 0], [0, 2, 2], [0, 0, 0]]
TRAINED = {"val/f1": 0.7, "val/accuracy": 0.75, "cost/macs": 2000, "cost/params": 400}
PRUNED = {"val/f1": 0.6, "val/accuracy": 0.625, "cost/macs": 500, "cost/params": 100}
LAYERS = [
    {"layer": "a", "change": "none", "macs": [100, 100], "ms": [0.25, 0.25], "advice": None},
    {"layer": "b", "change": "narrower", "macs": [900, 300], "ms": [0.5, 0.25], "advice": "<i>x"},
    {"layer": "c", "change": "removed", "macs": [1000, 0], "ms": [0.5, 0.0], "advice": None},
]
STEPS = [
    {"name": "00_train", "before": {}, "after": {**TRAINED, "cost/latency_ms": 2.0}, "epoch": 1},
    {
        "name": "01_prune",
        "before": {**TRAINED, "cost/latency_ms": 2.0},
        "surgery": [{"val/f1": 0.25}],
        "after": {**PRUNED, "cost/latency_ms": 1.0},
        "epoch": 0,
        "layers": LAYERS,
        "rejected": "It lost <b>too much</b>.",
    },
]
METRICS = {
    **PRUNED,
    "cost/latency_ms": 1.0,
    "cost/latency_iqr_ms": 0.125,
    "score/macs": 0.5,
    "epoch": 0,
    "steps": STEPS,
    "confusion": {"classes": list(CLASSES), "val": MATRIX},
    "latency": {"backend": "eager", "threads": 1, "batch": 1, "device": "a <processor>"},
}
EPOCHS = """\
step,round,epoch,train/loss,val/loss,val/f1,val/accuracy,lr,seconds
00_train,0,0,1.5,1.25,0.5,0.5,0.001,1
00_train,0,1,1.25,1.0,0.7,0.75,0.001,1
01_prune,0,0,1.0,,0.6,0.625,0.001,1
"""


@pytest.fixture(autouse=True)
def blank(monkeypatch):
    """Pictures are white: drawing one takes half a second; returns what draws."""
    draw, file = content.to_png, io.BytesIO()
    Image.new("RGB", (816, 600), "white").save(file, format="PNG")
    monkeypatch.setattr(content, "to_png", lambda figure: file.getvalue())
    return draw


@pytest.fixture
def finished(homes, leave):
    """Leaves a run with a real saved network below `homes`; returns its folder."""
    from lightning_modules.networks import build_network, save_network

    def left(name="run", *overrides, **measured):
        words = ["model=blocks/diet_found", "data.image_size=[20,28]", *overrides]
        metrics = {**METRICS, **measured}
        run = leave(homes / name, *words, f1=metrics.pop("val/f1"), **metrics)
        model = OmegaConf.load(run / ".hydra" / "config.yaml").model
        model.blocks = {
            "b1": [1, "Conv", [8, 3, 2]],
            "b2": [1, "GlobalAvgPool", []],
            "b3": [1, "FixedConv", ["num_classes", 1, 1, None, 1, None]],
        }
        torch.manual_seed(0)
        network = build_network(model, num_classes=3, image_size=[20, 28]).eval()
        network.class_names = CLASSES
        save_network(network, run)
        (run / "metrics.csv").write_text(EPOCHS)
        (run / ".hydra" / "overrides.yaml").write_text(json.dumps(words))
        return run

    return left
