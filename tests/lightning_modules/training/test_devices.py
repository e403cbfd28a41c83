"""How many devices train, asked of a machine with none and of one with four."""

import pytest
import torch

from lightning_modules.errors import ConfigError
from lightning_modules.training.devices import device_count, device_type, first_device


@pytest.fixture
def machine(monkeypatch):
    """Pretends that there are so many CUDA devices."""

    def pretend(count):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)

    return pretend


@pytest.mark.parametrize(
    ("words", "there", "count", "first"),
    [
        (["trainer=auto"], 0, 1, "cpu"),
        (["trainer=auto"], 4, 1, "cuda:0"),
        (["trainer=cpu"], 4, 1, "cpu"),
        (["trainer=ddp_sim"], 4, 2, "cpu"),
        (["trainer=cpu", "trainer.devices=-1"], 4, 1, "cpu"),
        (["trainer=ddp"], 4, 4, "cuda:0"),
        (["trainer=ddp"], 1, 1, "cuda:0"),
        (["trainer=ddp", "trainer.devices=3"], 4, 3, "cuda:0"),
        (["trainer=ddp", "trainer.devices=[1,3]"], 4, 2, "cuda:1"),
        (["trainer=gpu", "trainer.devices=[3]"], 4, 1, "cuda:3"),
    ],
)
def test_devices(compose_config, machine, words, there, count, first):
    machine(there)
    trainer = compose_config(*words).trainer
    assert device_count(trainer) == count
    assert first_device(trainer) == torch.device(first)


@pytest.mark.parametrize(
    ("words", "there", "sentence"),
    [
        (["trainer=gpu"], 0, "accelerator=gpu, but PyTorch finds none on this machine"),
        (["trainer.accelerator=mps"], 4, "accelerator=mps, but PyTorch finds none"),
        (["trainer=ddp", "trainer.devices=5"], 4, "devices=5 asks for more .*: 4 .cuda."),
        (["trainer=ddp", "trainer.devices=[0,4]"], 4, r"devices=\[0, 4\] asks for more"),
    ],
)
def test_what_is_not_there(compose_config, machine, words, there, sentence):
    machine(there)
    with pytest.raises(ConfigError, match=sentence):
        device_count(compose_config(*words).trainer)


def test_an_accelerator_of_any_kind(machine):
    machine(1)
    assert device_type("gpu") == device_type("auto") == device_type("cuda") == "cuda"
    assert device_type("cpu") == "cpu"
