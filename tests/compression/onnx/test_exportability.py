"""What can be exported: freely, one image at a time, or not at all, with the true reason."""

import pytest
import torch

from compression.images import ImageKind
from compression.onnx import Exportability, export_onnx, fixed_batch, onnx_session, try_export
from tests.fixtures.cases.networks import NETWORKS

IMAGES = ImageKind.of(torch.rand(2, 3, 64, 64))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "batch", "reason"),
    [
        pytest.param("FiveDimensionalAttention", "free", "", marks=pytest.mark.slow),
        ("LoopsOverBatch", "fixed", "makes the number of images a constant (networks.py:"),
        ("ValueBranch", "none", "values of tensors decide what it does"),
        ("DropoutInEval", "none", "draws random numbers in eval mode by aten.dropout"),
    ],
)
def test_an_export_is_tried(name, batch, reason):
    found = try_export(NETWORKS[name]().eval(), 64, images=IMAGES)
    assert found.batch == batch
    assert reason in found.reason and bool(found.reason) == bool(reason)


FREE = sorted({*NETWORKS} - {"ValueBranch", "DropoutInEval", "LoopsOverBatch", "MixtureOfKernels"})


@pytest.mark.slow
@pytest.mark.parametrize("name", [*FREE, "LoopsOverBatch", "MixtureOfKernels"])
def test_odd_networks_are_exported_and_agree(name, tmp_path):
    network = NETWORKS[name]()
    network(torch.rand(2, 3, 64, 64))  # what is lazy gets its shape
    path = export_onnx(network.eval(), tmp_path / "a.onnx", 64, images=IMAGES)
    assert fixed_batch(onnx_session(str(path))) == (None if name in FREE else 1)


@pytest.mark.slow
def test_a_number_of_images_inside_of_an_operation_costs_the_free_batch():
    found = try_export(NETWORKS["MixtureOfKernels"]().eval(), 64, images=IMAGES)
    assert found.batch == "fixed"
    assert "aten.conv2d: a setting is made of the number of images" in found.reason


def test_networks_of_one_structure_are_tried_once(monkeypatch):
    first = try_export(NETWORKS["TwoPools"]().eval(), 64, images=IMAGES)
    monkeypatch.setattr("compression.onnx.exportability.write_onnx", None)
    assert try_export(NETWORKS["TwoPools"]().eval(), 64, images=IMAGES) is first
    assert first == Exportability("free")


def test_weights_are_made_up_where_there_are_none():
    assert try_export(NETWORKS["Shift"]().eval().to("meta"), 64, images=IMAGES).batch == "free"
