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


@pytest.mark.slow
def test_what_can_be_done_with_a_network(homes, describe):
    words = ("model=resnet", "num_classes=6", "image_size=64", "support=true")
    told = describe(*words).partition("what can be done with it")[2]
    rows = [[cell.strip() for cell in row.strip("│").split("│")] for row in told.splitlines()]
    found = {row[0]: row[1:] for row in rows if len(row) == 3}
    assert found["cost"] == ["yes", "148,048,896 MACs, 11,179,590 parameters"]
    assert found["train"] == ["yes", "every parameter gets a gradient"]
    assert found["prune"] == ["yes", "down to 0.02 of the MACs"]
    assert found["prune_layers"][0] == "yes"
    assert found["quantize"] == ["yes", ""]
    assert found["latency"] == ["yes", "in onnxruntime"]
    assert found["torch_export"][0] == "yes"


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
