"""`scripts/describe.py`: tables, totals, picture and sentences; typed in tests/integration."""

import pytest
from PIL import Image

from lightning_modules.config.command_line import report_errors
from lightning_modules.networks import save_network
from scripts import describe as script


@pytest.fixture
def describe(capsys):
    """Runs the script in this process; returns what it prints."""

    def run(*words):
        script.main(words)
        return capsys.readouterr().out

    return run


def refused(*words):
    """What is said of a command that cannot be carried out."""
    with pytest.raises(SystemExit) as refusal, report_errors():
        script.main(words)
    return str(refusal.value)


def test_a_model_without_a_run(homes, describe):
    picture = homes / "bars.png"
    shown = describe(
        "num_classes=9", "model.head=conv", "--f1", "0.6", "image_size=80", "--figure", str(picture)
    )
    assert "shufflenet_g3, 80 x 80 pixels, 9 classes" in shown
    assert "features.stage2.unit8" in shown
    assert "MACs        1,467,600 standard, 1,688,940 leaderboard2021" in shown
    assert "score       0.4026 at F1 0.6" in shown
    assert Image.open(picture).width > 500


def test_a_finished_run(homes, compose_config, describe):
    import torch

    from compression import compress
    from compression.factorization.tucker import Tucker
    from lightning_modules.networks import build_network

    torch.manual_seed(0)
    cfg = compose_config("data.image_size=[32,48]", "model.units=[1,1,1]")
    network = build_network(cfg.model, num_classes=3, image_size=[32, 48])
    network.class_names = ("a", "b", "c")
    network, _ = compress(network, [Tucker(ratio=0.5)], sample=torch.zeros(1, 3, 32, 48))
    run = homes / "run"
    save_network(network, run)
    (run / ".hydra").mkdir()
    from omegaconf import OmegaConf

    OmegaConf.save(cfg, run / ".hydra" / "config.yaml")
    shown = describe(str(run), "--layers", "--convention", "leaderboard2021")
    assert "32 x 48 pixels, 3 classes" in shown
    assert "features.stage3.unit1.expand_bn3" in shown
    told = shown.partition("what was done to each layer")[2]
    assert "rank 3 x 3 of 6 x 3 by ratio 0.5, 62,208 -> " in told
    assert "features.stage1.unit1.dw_conv2" in told and "left alone: grouped" in told
    assert "64 x 64 pixels" in describe(str(run), "image_size=64")
    assert "has its own model" in refused(str(run), "model=resnet")


def answers(shown):
    """The table of what can be done: name -> [answer, reason]."""
    told = shown.partition("what can be done with it")[2]
    rows = [[cell.strip() for cell in row.strip("│").split("│")] for row in told.splitlines()]
    return {row[0]: row[1:] for row in rows if len(row) == 3}


@pytest.mark.slow
def test_what_can_be_done_with_a_network(homes, describe):
    words = ("model=resnet", "num_classes=6", "image_size=64", "support=true")
    found = answers(describe(*words))
    assert found["cost"] == ["yes", "148,048,896 MACs, 11,179,590 parameters"]
    assert found["train"] == ["yes", "every parameter gets a gradient"]
    assert found["prune"] == ["yes", "down to 0.02 of the MACs"]
    assert found["prune_layers"][0] == "yes"
    assert found["quantize"] == ["yes", ""]
    assert found["latency"] == ["yes", "in onnxruntime"]
    assert found["torch_export"][0] == "yes"


OWN = """
from torch import nn

class Net(nn.Module):
    def __init__(self, n_classes=10):
        super().__init__()
        self.stem, self.idle = nn.Conv2d(3, 32, 3, 2, 1), nn.Linear(4, 4)
        self.head = nn.Linear(32, n_classes)

    def forward(self, x):
        x = self.stem(x).relu()
        return {"logits": self.head((x if x.mean() < 0 else x.flip(2)).mean((2, 3)))}
"""


@pytest.mark.slow
def test_what_can_be_done_with_a_network_of_ones_own(homes, describe, monkeypatch):
    (homes / "my_support_net.py").write_text(OWN)
    monkeypatch.syspath_prepend(homes)
    words = ("model._target_=my_support_net.Net", "num_classes=6", "image_size=32")
    found = answers(describe(*words, "support=true"))
    assert found["train"] == ["yes", "no gradient reaches body.idle.weight, body.idle.bias"]
    assert found["prune"][0] == "no" and "its channels are mixed by a mean" in found["prune"][1]
    assert found["spatial_svd"] == ["yes", "down to 0.13 of the MACs"]
    assert [found[name][0] for name in ("quantize", "onnx", "torch_export")] == ["no"] * 3
    assert found["latency"][1].startswith("in eager mode. This network cannot be exported")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["model=resnet", "model.variant=resnet19"], "did you mean resnet18"),
        (["model=timm", "model.name=resnet50x"], "did you mean resnet50"),
        (["model=vit", "image_size=72"], "multiples of 16"),
        (["image_size=x"], "'x' is no whole number"),
        (["one", "two"], "One network at a time"),
        (["nowhere"], "nowhere does not exist"),
        (["--f1", "1.5"], "an F1 lies in 0..1"),
        (["support=all"], "support=all is not allowed; give support=true or support=false"),
        (["model=lenet"], "There is no model=lenet"),
    ],
)
def test_mistakes_are_one_sentence(words, says, homes):
    said = refused(*words)
    assert says in said and len(said.splitlines()) == 1
