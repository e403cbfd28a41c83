import pytest
import torch

from compression.cost.macs import count_macs, count_params
from lightning_modules.errors import ConfigError
from lightning_modules.networks import build_network, load_network, save_network
from lightning_modules.networks.robnet import RobNet

TARGET = "lightning_modules.networks.robnet.RobNet"


@pytest.mark.slow
def test_the_counts_of_the_paper(model_cfg):
    """5.49 M parameters (table 1, which counts the head of 100 classes).

    Ning et al. 2020 (arXiv 2012.11835) give it 1 560 M FLOPs at 32 pixels, two to a MAC.
    """
    hundred = build_network(model_cfg("robnet_free"), num_classes=100, image_size=32)
    assert round(count_params(hundred) / 1e6, 2) == 5.49
    ten = build_network(model_cfg("robnet_free"), num_classes=10, image_size=32)
    assert round(2 * count_macs(ten, 32) / 1e6) == 1560


def test_parameters_by_formula(model_cfg):
    cells = model_cfg("robnet_free").cells
    total, older, last, width = 3 * 9 * 108 + 2 * 108, 108, 108, 36
    for number, cell in enumerate(cells):
        halves = number in (6, 13)
        width *= 2 if halves else 1
        total += (older + last) * width  # two 1x1 convolutions, halving or not
        for position, code in enumerate(cell):
            strided = halves and position in (0, 1, 2, 3, 5, 6, 9, 10)
            total += (2 * (9 * width + width * width)) * (code in "13")
            total += width * width * (strided and code in "23")
        older, last = last, 4 * width
    network = build_network(model_cfg("robnet_free"), num_classes=10, image_size=32)
    assert count_params(network) == total + 576 * 10 + 10 == 5_439_790


@pytest.mark.parametrize("size", [32, 15, [9, 14], 1])
def test_any_size(size):
    cells = ["13212213303121", "20130023321012", "11111111111111"]
    network = build_network(
        {"_target_": TARGET, "cells": cells, "channels": 4}, num_classes=3, image_size=size
    )
    height, width = network.image_size
    images = torch.zeros(2, 3, height, width, dtype=torch.uint8)
    assert network.eval()(images).shape == (2, 3)


def test_survives_saving(tmp_path):
    node = {"_target_": TARGET, "cells": ["30313002230123"] * 3, "channels": 4}
    network = build_network(node, num_classes=3, image_size=16).eval()
    save_network(network, tmp_path)
    images = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8)
    assert torch.equal(load_network(tmp_path)(images), network(images))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"cells": []}, "at least three"),
        ({"cells": "33333333333333"}, "at least three"),
        ({"cells": ["3" * 14, "3" * 13, "3" * 14]}, "cell 2 is 14 digits"),
        ({"cells": ["3" * 14, "3" * 14, "4" * 14]}, "cell 3 is 14 digits"),
        ({"cells": ["3" * 14, "00" + "3" * 12, "3" * 14]}, "cell 2 .*node without any edge"),
        ({"channels": 3}, "even number"),
        ({"channels": 0}, "even number"),
    ],
)
def test_refuses_impossible_settings(wrong, says):
    with pytest.raises(ConfigError, match=says):
        RobNet(num_classes=3, **{"cells": ["3" * 14] * 3, **wrong})
