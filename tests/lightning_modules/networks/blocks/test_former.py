"""Networks saved when a kind meant another structure load as they were saved."""

import pytest
import torch

from lightning_modules.networks import build_network, load_network, save_network
from lightning_modules.networks.blocks.former import as_saved
from tests.lightning_modules.networks.blocks.test_records import node

HEAD = [[1, "GlobalAvgPool", []], [1, "FixedConv", ["num_classes", 1]]]
ROWS = [[2, "FusedMBConv", [1, 8, 2, 3]], [1, "FusedMBConv", [2, 8, 1, 3]], *HEAD]
NAMED = {
    "a": {"repeat": 2, "kind": "FusedMBConv", "t": 1, "out": 8, "s": 2, "k": 3},
    "b": {"kind": "FusedMBConv", "t": 2, "out": 8, "s": 1, "k": 3},
    "c": {"kind": "GlobalAvgPool"},
    "d": {"kind": "FixedConv", "out": "num_classes", "k": 1},
}


def before(rows):
    """The same rows as they were built then."""
    if isinstance(rows, dict):
        return {**rows, "a": {**rows["a"], "project": False}}
    return [[2, "FusedMBConv", [1, 8, 2, 3, False]], *rows[1:]]


@pytest.mark.parametrize("rows", [ROWS, NAMED], ids=["list", "dict"])
def test_fused_mbconv_without_its_second_convolution(rows, tmp_path):
    torch.manual_seed(0)
    saved = build_network(node(before(rows)), num_classes=3, image_size=16).eval()
    assert not [name for name, _ in saved.named_parameters() if "0.project" in name[:22]]
    save_network(saved, tmp_path, model_cfg=node(rows))  # its rows said nothing of it then
    loaded = load_network(tmp_path)
    images = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8)
    assert torch.equal(loaded(images), saved(images))
    assert loaded.model_cfg["blocks"] == rows  # and is saved as before
    save_network(loaded, tmp_path / "again")
    assert torch.equal(load_network(tmp_path / "again")(images), saved(images))


def test_networks_of_today_are_as_their_rows_say():
    network = build_network(node(ROWS), num_classes=3, image_size=16)
    assert as_saved(node(ROWS), network.state_dict()) == node(ROWS)
