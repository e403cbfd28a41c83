"""Weights of few bits with floating activations, and weights that the images round."""

import copy
import json

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, numpy_helper
from torch import nn

from compression import Context, compress
from compression.cost.file_size import file_bytes
from compression.errors import CompressionError
from compression.layer_moments import InputMoments
from compression.onnx.export import export_onnx
from compression.onnx.network import onnx_session, run_session
from compression.quantization import quantize
from compression.quantization.graph import float_graph
from compression.quantization.quantize import Quantize


class Depthwise(nn.Module):
    """A convolution, a depthwise one, one in groups and a head."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.middle = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.grouped = nn.Conv2d(8, 6, 1, groups=2)
        self.head = nn.Linear(6, 3)

    def forward(self, images):
        x = self.norm(self.first(images.float() / 255)).relu()
        return self.head(self.grouped(self.middle(x).relu()).relu().mean((2, 3)))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(3)
    network = Depthwise().eval()
    network.norm.running_var.fill_(0.05)
    return network


@pytest.fixture(scope="module")
def batches():
    generator = torch.Generator().manual_seed(1)
    # Neighbouring pixels have much in common, as those of photographs have.
    images = torch.randint(0, 256, (48, 3, 3, 4), generator=generator).float()
    images = nn.functional.interpolate(images, (12, 14), mode="bilinear").to(torch.uint8)
    return [(images[:24], None), (images[24:], None)]


@pytest.fixture(scope="module", autouse=True)
def exported(network):
    graph = float_graph(network, (12, 14))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quantize, "float_graph", lambda *_: copy.deepcopy(graph))
        patch.setattr(
            "compression.quantization.quantization.float_graph", lambda *_: copy.deepcopy(graph)
        )
        yield graph


@pytest.fixture
def context(network, batches):
    return Context(
        sample=batches[0][0][:2],
        image_size=(12, 14),
        train_batches=lambda: batches,
        moments=InputMoments(network, lambda: batches),
    )


def quantised(network, context, **settings):
    step = Quantize(images=48, method="minmax", **settings)
    plan = json.loads(json.dumps(step.plan(network, context, 0)))
    return step.apply(network, plan, context), plan


def error(network, other, batches):
    images = torch.cat([images for images, _ in batches])
    with torch.inference_mode():
        return (other(images) - network(images)).square().mean().item()


def test_four_bits_are_stored_as_int4_and_run_anywhere(network, batches, context, tmp_path):
    small, plan = quantised(network, context, weight_bits=4, min_agreement=None)
    model = onnx.load_from_string(small.onnx_content)
    onnx.checker.check_model(model, full_check=True)
    assert [own.version for own in model.opset_import if not own.domain] == [21]
    kinds = {t.name: t.data_type for t in model.graph.initializer}
    shapes = {t.name: tuple(t.dims) for t in model.graph.initializer}
    for layer in ("first", "middle", "grouped", "head"):
        assert kinds[f"{layer}.weight_quantized"] == TensorProto.INT4
    assert shapes["grouped.weight_quantized"] == (6, 4, 1, 1)
    levels = numpy_helper.to_array(
        next(t for t in model.graph.initializer if t.name == "middle.weight_quantized")
    ).astype(int)
    assert np.abs(levels).max() <= 7 and len(np.unique(levels)) > 5
    # The reference implementation agrees with what onnxruntime makes of it, folded or not.
    images = batches[0][0].numpy()
    (expected,) = onnx.reference.ReferenceEvaluator(model).run(None, {"images": images})
    import onnxruntime

    plain = onnxruntime.InferenceSession(small.onnx_content, providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(plain.run(None, {"images": images})[0], expected, atol=1e-4)
    np.testing.assert_allclose(small(batches[0][0]).numpy(), expected, atol=1e-4)
    path = export_onnx(small, tmp_path / "a.onnx", [12, 14])
    assert path.stat().st_size == file_bytes(small)
    np.testing.assert_allclose(run_session(onnx_session(str(path)), images), expected, atol=1e-4)
    assert plan["activations"] == "float" and set(plan["bits"].values()) == {4}
    assert Quantize.describe(plan)[0] == "4 layers with weights of 4 bits, activations floating"


def test_what_the_images_say_loses_less(network, batches, context):
    plain = {"rounding": "nearest", "bias_correction": False, "min_agreement": None}
    lost = {}
    for bits in (4, 8):
        nearest, _ = quantised(network, context, **plain, weight_bits=bits, activations="float")
        fitted, plan = quantised(
            network, context, min_agreement=None, weight_bits=bits, activations="float"
        )
        assert plan["second_order"] and plan["bias_correction"]
        lost[bits] = error(network, nearest, batches), error(network, fitted, batches)
        assert lost[bits][1] < lost[bits][0]
    assert lost[8][1] < lost[4][1]


def test_int8_has_its_weights_on_the_levels_that_were_chosen(network, batches, context):
    small, plan = quantised(network, context)
    assert plan["bits"] == {"first": 7, "middle": 8, "grouped": 7, "head": 7}
    model = onnx.load_from_string(small.onnx_content)
    stored = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    largest = {
        layer: np.abs(stored[f"{layer}.weight_quantized"].astype(int)).max()
        for layer in plan["bits"]
    }
    assert largest["middle"] == 127 and max(largest[n] for n in ("first", "grouped", "head")) <= 65
    nearest, _ = quantised(network, context, rounding="nearest", bias_correction=False)
    changed = onnx.load_from_string(nearest.onnx_content)
    other = {t.name: numpy_helper.to_array(t) for t in changed.graph.initializer}
    assert np.any(stored["first.weight_quantized"] != other["first.weight_quantized"])
    assert (
        np.abs(stored["first.weight_quantized"].astype(int) - other["first.weight_quantized"]).max()
        <= 6
    )
    _, plan = quantised(network, context, reduce_range=False)
    assert set(plan["bits"].values()) == {8}


def test_depthwise_products_of_eight_bits_do_not_overflow():
    """On this processor, whichever it is: onnxruntime against whole numbers."""
    helper = onnx.helper
    rng = np.random.default_rng(0)
    weight = rng.choice(np.array([-127, 127], np.int8), (16, 1, 3, 3))
    image = rng.choice(np.array([0, 255], np.uint8), (1, 16, 9, 9))
    names = ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz"]
    values = [np.float32(1), np.uint8(0), weight, np.ones(16, np.float32), np.zeros(16, np.int8)]
    values += [np.float32(1200), np.uint8(128)]
    node = helper.make_node("QLinearConv", names, ["y"], group=16)
    graph = helper.make_graph(
        [node],
        "depthwise",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, [1, 16, 9, 9])],
        [helper.make_tensor_value_info("y", TensorProto.UINT8, [1, 16, 7, 7])],
        [numpy_helper.from_array(np.asarray(v), n) for n, v in zip(names[1:], values, strict=True)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (found,) = onnx_session(model.SerializeToString()).run(None, {"x": image})
    windows = np.lib.stride_tricks.sliding_window_view(image.astype(np.int64), (3, 3), (2, 3))
    sums = (windows * weight.astype(np.int64)[None, :, 0, None, None]).sum((-1, -2))
    expected = np.clip(np.round(sums / 1200) + 128, 0, 255)
    np.testing.assert_array_equal(found, expected)


def test_layers_that_lose_most_keep_eight_bits(network, batches, context):
    none, plan = quantised(network, context, weight_bits=4, min_agreement=0)
    assert set(plan["bits"].values()) == {4} and list(plan["agreement"]) == ["0"]
    all_wide, plan = quantised(network, context, weight_bits=4, min_agreement=1)
    wide = [layer for layer, bits in plan["bits"].items() if bits == 8]
    assert plan["agreement"][str(len(wide))] >= plan["agreement"]["0"]
    assert file_bytes(none) <= file_bytes(all_wide)
    assert Quantize.describe(plan)[-1].endswith(
        f"with no weights in 8 bits {plan['agreement']['0']:.2%}"
    )


def test_the_plan_replays_and_other_plans_are_read(network, batches, context):
    small, plan = quantised(network, context, weight_bits=4)
    again = Quantize().apply(network, plan, context)
    assert again.onnx_content == small.onnx_content
    earlier = {
        key: value
        for key, value in plan.items()
        if key not in ("bits", "activations", "second_order", "bias_correction", "agreement")
    }
    step = Quantize(images=48)
    model = onnx.load_from_string(step.apply(network, earlier).onnx_content)
    kinds = {t.name: t.data_type for t in model.graph.initializer}
    assert kinds["middle.weight_quantized"] == TensorProto.INT8
    assert any(node.op_type == "QuantizeLinear" for node in model.graph.node)


def test_compress_fits_weights_where_there_are_images(network, batches):
    step = Quantize(images=48, method="minmax")
    _, recipe = compress(network, [step], sample=batches[0][0][:2], batches=batches)
    assert recipe.summary() == [
        "quantize: 4 layers in int8 (min-max, 48 images)",
        "quantize: weights: rounded by what it does to outputs, biases corrected, 48 images",
    ]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"weight_bits": 3}, "weight_bits=3 .*there are 8, 4|weight_bits=3 is not allowed"),
        ({"weight_bits": 4, "activations": "int8"}, "quantize.weight_bits=4 makes the file small"),
        ({"activations": "float", "exclude": "sensitive"}, "and here they are floating"),
        ({"min_agreement": 2}, "min_agreement=2 is not allowed; it must be a ratio in 0..1 or nu"),
        ({"rounding": "up"}, "rounding=up does not exist; there are auto, nearest, second_order"),
        ({"bias_correction": 3}, "bias_correction=3"),
    ],
)
def test_impossible_settings(settings, says):
    with pytest.raises(CompressionError, match=says):
        Quantize(**settings)
