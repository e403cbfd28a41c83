"""Weights in 16 bits: which tensors are, that both graphs agree, and the file's size."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from compression.onnx.network import onnx_session
from compression.quantization.int8_network import Int8Network
from lightning_modules.deployment.exporting import export
from lightning_modules.deployment.formats import format_named
from lightning_modules.deployment.onnx_file import halve, require_float
from lightning_modules.errors import ConfigError
from tests.conftest import needs_extra
from tests.lightning_modules.deployment.conftest import tiny


def graph(**tensors):
    """x + all tensors, of which each has a vector's shape."""
    nodes, last = [], "x"
    for name in tensors:
        nodes.append(helper.make_node("Add", [last, name], [f"{name}_sum"]))
        last = f"{name}_sum"
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])]
    outputs = [helper.make_tensor_value_info(last, TensorProto.FLOAT, ["n"])]
    stored = [numpy_helper.from_array(values, name) for name, values in tensors.items()]
    made = helper.make_graph(nodes, "sums", inputs, outputs, stored)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def test_large_tensors_that_fit_are_halved_and_rounded_to_11_bits():
    rng = np.random.default_rng(0)
    many, few = rng.normal(size=100).astype(np.float32), np.ones(1, np.float32)
    huge = np.full(100, 7e4, np.float32)
    model = graph(many=many, few=few, huge=huge)
    halve(model)
    onnx.checker.check_model(model, full_check=True)
    types = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    assert types == {
        "many.half": TensorProto.FLOAT16, "few": TensorProto.FLOAT, "huge": TensorProto.FLOAT
    }  # fmt: skip
    (found,) = onnx_session(model.SerializeToString()).run(None, {"x": np.zeros(100, np.float32)})
    expected = many.astype(np.float16).astype(np.float32) + few + huge
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", ["onnx", pytest.param("openvino", marks=needs_extra("openvino"))])
def test_the_file_is_half_as_large_and_agrees(name, images, tmp_path):
    conv = nn.Sequential(nn.Conv2d(3, 64, 3), nn.ReLU(), nn.Conv2d(64, 200, 3), nn.ReLU())
    network = tiny(nn.Sequential(conv, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(200, 3)))
    form = format_named(name)
    path = tmp_path / f"half{form.suffix}"
    report = export(
        network, form, path, resize_mode="pad", images=images, image_source="noise", half=True
    )
    assert report["top1_agreement"] >= 0.995
    assert 1e-6 < report["largest_probability_difference"] < 1e-2  # as float it is below 1e-6
    assert 2 * report["params"] < report["bytes"] < 2 * report["params"] + 20_000


def test_an_int8_network_has_none():
    with pytest.raises(ConfigError, match="the weights of this one are int8"):
        require_float(Int8Network(tiny()))
