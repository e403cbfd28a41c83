"""More layers that stay floating, until the logits are near enough to the floating ones."""

import copy

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from compression.errors import CompressionError
from compression.quantization.calibration import activation_ranges
from compression.quantization.divergent_layers import leave_divergent, only_layer
from compression.quantization.graph import layer_nodes
from compression.quantization.graph_divergence import GraphDivergence
from compression.quantization.quantization import planned_graph, quantized_lines
from compression.quantization.quantize import Quantize

COUNT, WIDTH = 10, 6
WIDE = "layer4"  # its outputs have an outlier: the others have few levels left


def chain():
    """Ten 1x1 convolutions with a sum around the last, written directly: exporting is slow."""
    random = np.random.default_rng(0)
    nodes = [helper.make_node("Cast", ["images"], ["x0"], "cast", to=TensorProto.FLOAT)]
    weights = []
    for index in range(COUNT):
        weight = np.linalg.qr(random.normal(size=(WIDTH, WIDTH)))[0]
        weight[0] *= 300 if f"layer{index}" == WIDE else 1
        weight[:, 0] /= 300 if f"layer{index - 1}" == WIDE else 1
        name = f"layer{index}.weight"
        shaped = weight[..., None, None].astype(np.float32)
        weights.append(numpy_helper.from_array(shaped, name))
        inputs, outputs = [f"x{index}", name], [f"x{index + 1}"]
        nodes.append(helper.make_node("Conv", inputs, outputs, f"conv{index}"))
    nodes += [
        helper.make_node("Add", [f"x{COUNT}", f"x{COUNT - 1}"], ["sum"], "sum"),
        helper.make_node("GlobalAveragePool", ["sum"], ["mean"], "mean"),
        helper.make_node("Flatten", ["mean"], ["flat"], "flat"),
        helper.make_node("Mul", ["flat", "scale"], ["logits"], "mul"),
    ]
    weights.append(numpy_helper.from_array(np.float32(0.1), "scale"))
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", WIDTH, 4, 4])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", WIDTH])],
        weights,
    )
    opset = [helper.make_opsetid("", 20)]
    return onnx.shape_inference.infer_shapes(
        helper.make_model(graph, opset_imports=opset, ir_version=10)
    )


@pytest.fixture(scope="module")
def case():
    model = chain()
    images = np.random.default_rng(1).integers(0, 256, (32, WIDTH, 4, 4), dtype=np.uint8)
    layers = list(layer_nodes(model))
    plan = {
        "ranges": activation_ranges(model, images, method="minmax", percentile=100),
        "floating": [],
        "excluded": [],
        "layers": layers,
        "reduce_range": False,
        "method": "minmax",
        "percentile": 100.0,
        "images": 32,
        "bits": dict.fromkeys(layers, 8),
        "float_output": True,
    }
    return model, plan, images


def kl(model, content, images):
    """The divergence once more, by torch and a session of its own."""
    import onnxruntime

    log = []
    for file in (model.SerializeToString(), content):
        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        logits = torch.from_numpy(session.run(None, {"images": images})[0])
        log.append(logits.double().log_softmax(1))
    return torch.nn.functional.kl_div(log[1], log[0], reduction="batchmean", log_target=True).item()


def test_as_few_layers_as_it_takes_those_first_that_lose_most(case):
    model, plan, images = case
    whole = kl(model, planned_graph(copy.deepcopy(model), copy.deepcopy(plan)), images)
    found = copy.deepcopy(plan)
    leave_divergent(found, model, images, [], whole / 2)
    scan = found["divergent"]
    order = sorted(scan["alone"], key=lambda layer: -scan["alone"][layer])
    assert WIDE in order[:2]  # it and the one that is given its outputs
    count = len(scan["kept"])
    assert scan["kept"] == order[:count] and sorted(scan["kept"]) == found["floating"]
    assert {*found["bits"]} == {*plan["layers"]} - {*scan["kept"]}
    assert scan["kl"][0] == pytest.approx(whole, abs=1e-9)
    after = kl(model, planned_graph(copy.deepcopy(model), copy.deepcopy(found)), images)
    assert scan["kl"][1] == pytest.approx(after, abs=1e-9)
    assert after <= whole / 2
    assert f"{count} more layers left floating" in quantized_lines(found)[-1]
    assert f"alone costs {scan['alone'][WIDE]:.3g} nats" in Quantize.describe_layers(found)[WIDE]


def test_a_layer_alone_is_all_that_is_rounded(case):
    """Also beside a sum, which would round what it is given."""
    model, plan, images = case
    last = f"layer{COUNT - 1}"
    alone = only_layer(plan, model, last)
    graph = onnx.load_from_string(planned_graph(copy.deepcopy(model), copy.deepcopy(alone))).graph
    rounded = [n.input[0] for n in graph.node if n.op_type == "QuantizeLinear"]
    assert {f"x{COUNT - 1}", f"x{COUNT}"} == {*rounded} - {f"{last}.weight"}
    assert GraphDivergence(model, images).of_plan(alone, []) > 0


@pytest.mark.parametrize("limit", [1e3, 1e-12])
def test_limits(case, limit):
    """Near enough: nothing changes; out of reach: half of the layers, and it says what is left."""
    model, plan, images = case
    found = copy.deepcopy(plan)
    leave_divergent(found, model, images, [], limit)
    if limit > 1:
        assert found == plan
    else:
        assert len(found["floating"]) == COUNT // 2
        assert found["divergent"]["kl"][1] > limit


def test_numbers_of_nats():
    with pytest.raises(CompressionError, match="max_kl=0.* a number of nats above 0, or null"):
        Quantize(max_kl=0.0)
    assert Quantize(max_kl=None).max_kl is None
