"""`model.blocks=FILE.yaml`: rows in a file of their own."""

import pytest
from omegaconf import OmegaConf

from compression.cost.macs import count_params
from lightning_modules.errors import ConfigError
from lightning_modules.networks import build_network
from lightning_modules.networks.blocks.row_file import read_row_file
from lightning_modules.networks.blocks.writing import to_rows
from lightning_modules.networks.schema import check_model

FILE = """
input_channel: 3
depth_multiple: 0.5
width_multiple: 0.5
backbone:
  # [repeat, kind, arguments]
  [
    [1, Conv, [32, 3, 2, None, 1, ReLU]],
    [1, MaxPool, [2]],
    [4, MBConv, [2, 48, 2, 3]],
    [1, GlobalAvgPool, []],
    [1, Flatten, []],
    [1, Linear, [num_classes]],
  ]
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "my_network.yaml"
    path.write_text(FILE)
    return path


def test_a_whole_file(file, model_cfg):
    cfg = model_cfg("rows", blocks=str(file))
    check_model(cfg, "model")  # what a run does first: it keeps the rows, not the file
    file.unlink()
    assert (cfg.name, cfg.depth_multiple, cfg.width_multiple) == ("my_network", 0.5, 0.5)
    network = build_network(cfg, num_classes=5, image_size=32)
    assert [row[:2] for row in to_rows(network)] == [
        *([1, "Conv"], [1, "MaxPool"], [2, "MBConv"]),
        *([1, "GlobalAvgPool"], [1, "Flatten"], [1, "Linear"]),
    ]
    assert [module.out_channels for module in network.body.blocks.b3] == [24, 24]


def test_what_the_command_says_counts(file, model_cfg):
    cfg = model_cfg("rows", blocks=str(file), width_multiple=0.25, name="mine")
    network = build_network(cfg, num_classes=5, image_size=32)
    assert network.model_cfg["name"] == "mine"
    assert network.body.blocks.b1[0].out_channels == 8


def test_a_file_of_rows_alone(tmp_path, model_cfg):
    (tmp_path / "rows.yaml").write_text(OmegaConf.to_yaml(model_cfg("blocks/diet_found").blocks))
    cfg = model_cfg("rows", blocks=str(tmp_path / "rows.yaml"))
    assert count_params(build_network(cfg, num_classes=9, image_size=64)) == 46_169


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "there is no such file"),
        ("", "holds no rows; give them in a list, or under 'backbone:'"),
        ("a: [", "is no YAML file"),
        ("depth_multiple: 0.5\n", "has depth_multiple but no rows"),
        ("backbone: []\nanchors: 3\n", "has anchors, which means nothing here"),
        ("backbone: []\ninput_channel: 1\n", "input_channel is 3, as images have, not 1"),
    ],
)
def test_refusals(content, says, tmp_path):
    path = tmp_path / "rows.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=says) as caught:
        read_row_file(path)
    assert str(caught.value).startswith(f"model.blocks={path}")
