"""Which networks torch cannot train in channels-last order, and that these are not."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from lightning_modules.training.memory_format import choose_channels_last, fatal_in_channels_last

BATCH = torch.zeros(2, 3, 8, 8), torch.zeros(2, dtype=torch.int64)


@pytest.mark.parametrize(
    ("conv", "fatal"),
    [
        (nn.Conv2d(3, 16, 1, stride=2), True),
        (nn.Conv2d(15, 4, 1, stride=(1, 3)), True),
        (nn.Conv2d(16, 16, 1, stride=2), False),
        (nn.Conv2d(3, 16, 1), False),
        (nn.Conv2d(3, 16, 3, stride=2), False),
        (nn.Conv2d(8, 16, 1, stride=2, groups=2), False),
    ],
)
def test_which_layers_are_fatal(conv, fatal):
    assert fatal_in_channels_last(nn.Sequential(nn.ReLU(), conv)) == (["1"] if fatal else [])


@pytest.mark.parametrize("setting", ["auto", "channels_last"])
def test_a_network_with_such_a_layer_stays_contiguous(setting, tmp_path, caplog):
    caplog.set_level("INFO")
    network = nn.Sequential(nn.Conv2d(3, 4, 1, stride=2))

    def choose(device):
        settings = {"loss": None, "device": torch.device(device), "cache_dir": tmp_path}
        return choose_channels_last(setting, network, BATCH, **settings)

    assert choose("cpu") is False
    assert caplog.messages == [
        f"trainer.memory_format={setting}: this network trains in contiguous order, for torch "
        "would die in the backward pass of its layer 0 in channels-last order."
    ]
    assert list(tmp_path.iterdir()) == []  # it was not measured
    if setting == "channels_last":
        assert choose("cuda") is True


MEASURED = """
import sys, torch
from pathlib import Path
from torch import nn
from lightning_modules.training.memory_format import choose_channels_last

network = nn.Sequential(nn.Conv2d(3, 16, 1, stride=2), nn.AdaptiveAvgPool2d(1), nn.Flatten())
batch = torch.rand(8, 3, 64, 64), torch.zeros(8, dtype=torch.int64)
for _ in range(4):
    choose_channels_last(
        "auto", network, batch, loss=nn.functional.cross_entropy,
        device=torch.device("cpu"), cache_dir=Path(sys.argv[1]),
    )
"""


@pytest.mark.slow
def test_measuring_survives_such_a_layer(tmp_path):
    child = subprocess.run([sys.executable, "-c", MEASURED, tmp_path], capture_output=True)
    assert child.returncode == 0, child.stderr.decode()[-500:]
