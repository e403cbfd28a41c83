"""What can be exported: freely, one image at a time, or not at all, with the true reason."""

import pytest
import torch

from compression.images import ImageKind
from compression.onnx import Exportability, try_export
from tests.fixtures.cases.networks import NETWORKS

IMAGES = ImageKind.of(torch.rand(2, 3, 64, 64))


@pytest.mark.parametrize(
    ("name", "batch", "reason"),
    [
        ("FiveDimensionalAttention", "free", ""),
        ("LoopsOverBatch", "fixed", "makes the number of images a constant (networks.py:"),
        ("ValueBranch", "none", "by values of tensors (networks.py:"),
        ("DropoutInEval", "none", "draws random numbers in eval mode by aten.dropout"),
    ],
)
def test_an_export_is_tried(name, batch, reason):
    found = try_export(NETWORKS[name]().eval(), 64, images=IMAGES)
    assert found.batch == batch
    assert reason in found.reason and bool(found.reason) == bool(reason)


def test_networks_of_one_structure_are_tried_once(monkeypatch):
    first = try_export(NETWORKS["TwoPools"]().eval(), 64, images=IMAGES)
    monkeypatch.setattr("compression.onnx.exportability.write_onnx", None)
    assert try_export(NETWORKS["TwoPools"]().eval(), 64, images=IMAGES) is first
    assert first == Exportability("free")


def test_weights_are_made_up_where_there_are_none():
    assert try_export(NETWORKS["Shift"]().eval().to("meta"), 64, images=IMAGES).batch == "free"
