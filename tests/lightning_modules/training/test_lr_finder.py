"""The range test leaves no trace; a run that finds its rate equals one that is given it."""

import json

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from lightning_modules.errors import ConfigError
from lightning_modules.networks import build_network
from lightning_modules.training import lr_finder
from lightning_modules.training.lr_finder import RangeTest, range_test
from tests.conftest import run_command

SGD = OmegaConf.create({"_target_": "torch.optim.SGD", "lr": 9.0, "lr_factors": {"head": 0.5}})


class Tiny(nn.Module):
    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.drop = nn.Dropout(0.2)
        self.fc = nn.Linear(3, num_classes)

    def forward(self, images):
        return self.fc(self.drop(self.norm(images).mean((2, 3))))


def batches(count=10**9):
    """Images whose colour is their class."""
    for number in range(count):
        generator = torch.Generator().manual_seed(number)
        labels = torch.randint(0, 3, (16,), generator=generator)
        images = torch.full((16, 3, 4, 4), 20, dtype=torch.uint8)
        images[torch.arange(16), labels] = 220
        yield images, labels


@pytest.fixture
def network():
    torch.manual_seed(0)
    model = {"name": "tiny", "_target_": f"{__name__}.Tiny"}
    return build_network(model, num_classes=3, image_size=4)


def test(network, **settings):
    return range_test(
        network, batches(), loss=nn.CrossEntropyLoss(), optimizer=SGD, seed=0,
        device=torch.device("cpu"), **settings,
    )  # fmt: skip


test.__test__ = False


def test_neither_network_nor_random_state_changes(network):
    before = {key: value.clone() for key, value in network.state_dict().items()}
    network.eval()
    state = torch.get_rng_state()
    seen = test(network)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(network.state_dict()[key], value) for key, value in before.items())
    assert not network.training
    assert all(p.grad is None for p in network.parameters())
    again = test(network)
    assert again == seen


def test_rates_rise_from_lowest_to_highest(network):
    seen = test(network)
    assert seen.rates[0] == 1e-6
    ratios = [b / a for a, b in zip(seen.rates, seen.rates[1:], strict=False)]
    assert ratios == pytest.approx([1e6 ** (1 / 99)] * len(ratios))
    assert seen.losses[0] > 2 * min(seen.losses)


def test_the_first_update_uses_the_lowest_rate_and_the_layers_factor(network, monkeypatch):
    steps = []
    original = torch.optim.SGD.step

    def step(self, closure=None):
        steps.append([group["lr"] for group in self.param_groups])
        return original(self, closure)

    monkeypatch.setattr(torch.optim.SGD, "step", step)
    test(network)
    assert sorted(set(steps[0])) == pytest.approx([0.5e-6, 1e-6])


def test_several_batches_make_one_update(network):
    """Without BatchNorm and dropout, halves of a batch give the gradient of the whole."""
    network.body.norm, network.body.drop = nn.Identity(), nn.Identity()
    halves = (
        (images[i : i + 8], labels[i : i + 8]) for images, labels in batches() for i in (0, 8)
    )
    settings = {"loss": nn.CrossEntropyLoss(), "optimizer": SGD, "seed": 0}
    settings["device"] = torch.device("cpu")
    whole = range_test(network, batches(), **settings)
    split = range_test(network, halves, batches_per_step=2, **settings)
    assert split.losses == pytest.approx(whole.losses, rel=1e-4)


def curve(loss):
    rates = [1e-6 * 1e6 ** (i / 99) for i in range(100)]
    return RangeTest(rates, [loss(i) for i in range(100)])


def test_the_suggestion_is_the_steepest_fall_before_the_lowest_loss():
    def loss(i):  # a gentle fall, a steep one around 60, a rise, and a steeper recovery
        if i < 50:
            return 2 - 0.002 * i
        if i < 70:
            return 1.9 - 1.0 / (1 + 2.7 ** -((i - 60) / 2))
        return 6.0 if i < 85 else 6.0 - 0.3 * (i - 85)

    seen = curve(loss)
    assert seen.suggestion == pytest.approx(seen.rates[60], rel=0.05)


def test_a_loss_that_never_falls():
    with pytest.raises(ConfigError, match="saw the loss fall at no rate from 1e-06 to 1"):
        _ = curve(lambda i: 1 + 0.01 * i).suggestion
    with pytest.raises(ConfigError, match="at no rate"):
        _ = RangeTest([], []).suggestion


def test_the_test_ends_where_the_loss_diverges(network, monkeypatch):
    monkeypatch.setattr(lr_finder, "HIGHEST", 1e12)
    seen = test(network)
    assert len(seen.rates) < lr_finder.STEPS
    assert all(loss == loss for loss in seen.losses)


@pytest.mark.slow
def test_a_run_that_finds_its_rate_equals_a_run_that_is_given_it(homes, folder):
    words = [
        "data=image_folder", f"data.root={folder}", "data.image_size=32", "data.batch_size=6",
        "model.units=[1,1,1]", "trainer.max_epochs=2", "trainer.memory_format=contiguous",
        "logger=none", "latency.backend=null",
    ]  # fmt: skip
    said = run_command("run.py", *words, "lr_find=true", f"hydra.run.dir={homes}/finds").stdout
    note = json.loads((homes / "finds" / "lr_find.json").read_text())
    rate = note["suggestion"]
    assert rate != 0.002
    assert f"lr_find: {rate:g} is where the loss falls most steeply" in said
    assert "used as optimizer.lr" in said
    picture = (homes / "finds" / "figures" / "lr_find.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    run_command("run.py", *words, f"optimizer.lr={rate}", f"hydra.run.dir={homes}/given")
    files = [homes / name / "model" / "weights.safetensors" for name in ("finds", "given")]
    assert files[0].read_bytes() == files[1].read_bytes()
    said = run_command(
        "run.py", *words, "lr_find=true", "optimizer.lr=0.001", "scheduler=step",
        f"hydra.run.dir={homes}/typed",
    ).stdout  # fmt: skip
    assert "optimizer.lr=0.001 was given and stays" in said
    assert ",0.001," in (homes / "typed" / "metrics.csv").read_text()
