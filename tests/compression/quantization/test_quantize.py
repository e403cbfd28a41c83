"""Static int8 quantisation of a small network, against what 8 bits can do."""

import copy
import json

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from compression import Context, compress
from compression.cost.file_size import file_bytes
from compression.cost.macs import count_macs, count_params
from compression.engine import check_order
from compression.errors import CompressionError
from compression.factorization.tucker import Tucker
from compression.onnx.export import export_onnx
from compression.onnx.network import onnx_session
from compression.quantization import calibration, quantize
from compression.quantization.calibration import calibration_images
from compression.quantization.graph import excluded_layers, float_graph
from compression.quantization.int8_network import Int8Network
from compression.quantization.layer_sensitivity import select_float_layers
from compression.quantization.quantize import Quantize
from compression.sensitivity.sensitivity_scan import macro_f1


class Small(nn.Module):
    """Two convolutions and a head; names are what patterns match."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 16, 3, stride=2)
        self.norm = nn.BatchNorm2d(16)
        self.second = nn.Conv2d(16, 64, 3)
        self.head = nn.Linear(64, 3)

    def forward(self, images):
        x = self.norm(self.first(images.float() / 255)).relu()
        return self.head(self.second(x).relu().mean((2, 3)))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = Small()
    # One channel far larger than the others: a scale for all would lose the small ones.
    network.second.weight.data[0] *= 50
    network.head.weight.data[:, 0] /= 50
    return network.eval()


@pytest.fixture(scope="module")
def batches():
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (40, 3, 12, 14), dtype=torch.uint8, generator=generator)
    return [(images[:24], None), (images[24:], None)]


@pytest.fixture(scope="module")
def exported(network):
    """Exporting takes seconds, so all tests of this network share one graph."""
    graph = float_graph(network, (12, 14))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quantize, "float_graph", lambda *_: copy.deepcopy(graph))
        yield graph


@pytest.fixture(scope="module")
def planned(network, batches, exported):
    """A step, its plan and the network that it makes."""
    step = Quantize(images=40)
    context = Context(sample=batches[0][0][:2], image_size=(12, 14), train_batches=lambda: batches)
    before = copy.deepcopy(network.state_dict())
    plan = json.loads(json.dumps(step.plan(network, context, 0)))
    quantised = step.apply(network, plan)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])
    return step, plan, quantised


def test_int8_says_nearly_what_the_network_says(network, batches, planned):
    quantised = planned[2]
    images = torch.cat([images for images, _ in batches])
    with torch.inference_mode():
        expected = network(images)
    found = quantised(images)
    spread = expected.max() - expected.min()
    assert (found - expected).abs().max() < 0.05 * spread  # 7 and 8 bits, three layers
    assert not torch.equal(found, expected)
    torch.testing.assert_close(quantised(images[:1]), found[:1], atol=1e-5, rtol=0)


def test_activations_are_unsigned_and_weights_signed_by_channel(planned):
    graph = onnx.load_from_string(planned[2].onnx_content).graph
    initial = {t.name: t for t in graph.initializer}
    weights = [t for t in initial.values() if t.data_type == onnx.TensorProto.INT8 and t.dims]
    assert {tuple(t.dims) for t in weights} >= {(16, 3, 3, 3), (64, 16, 3, 3)}
    levels = [np.abs(onnx.numpy_helper.to_array(t)[:16].astype(int)).max() for t in weights]
    assert max(levels) <= 64  # 7 bits, so that no processor's sums overflow
    scales = {
        tuple(initial[n.input[1]].dims) for n in graph.node if n.op_type == "DequantizeLinear"
    }
    assert (16,) in scales and (64,) in scales
    quantisers = [n for n in graph.node if n.op_type == "QuantizeLinear"]
    zeros = {initial[n.input[2]].data_type for n in quantisers}
    assert quantisers and zeros == {onnx.TensorProto.UINT8}
    assert graph.output[0].name == "logits"


def test_it_costs_what_the_float_network_costs(network, planned, tmp_path):
    quantised = planned[2]
    assert count_macs(quantised, [12, 14]) == count_macs(network, [12, 14]) > 0
    assert count_params(quantised) == count_params(network)
    assert file_bytes(quantised) == len(quantised.onnx_content)
    path = export_onnx(quantised, tmp_path / "a.onnx", [12, 14])
    assert path.read_bytes() == quantised.onnx_content
    assert onnx_session(str(path)).get_inputs()[0].type == "tensor(uint8)"


def test_replaying_gives_the_structure_and_applying_again_the_same_file(network, planned):
    step, plan, quantised = planned
    again = step.apply(network, plan)
    assert again.onnx_content == quantised.onnx_content
    shape = step.restructure(copy.deepcopy(network), plan)
    assert shape.state_dict().keys() == quantised.state_dict().keys()
    with pytest.raises(CompressionError, match="no file yet"):
        shape(torch.zeros(1, 3, 12, 14, dtype=torch.uint8))


def test_it_only_evaluates_and_can_be_moved_and_copied(planned, batches):
    quantised, images = planned[2], batches[0][0]
    expected = quantised(images)
    twin = copy.deepcopy(quantised).to("cpu", torch.float64).eval()
    assert torch.equal(twin(images), expected) and not twin.training
    assert torch.equal(quantised(images.float()), expected)
    with pytest.raises(CompressionError, match="cannot be trained"):
        quantised.train()


def test_excluded_layers_stay_floating(network, batches, exported):
    step = Quantize(images=16, exclude=["sec*"], method="minmax")
    quantised, recipe = compress(network, [step], sample=batches[0][0][:2], batches=batches)
    assert isinstance(quantised, Int8Network)
    graph = onnx.load_from_string(quantised.onnx_content).graph
    floating = {tuple(t.dims) for t in graph.initializer if t.data_type == onnx.TensorProto.FLOAT}
    assert (64, 16, 3, 3) in floating and (16, 3, 3, 3) not in floating
    assert recipe.summary() == [
        "quantize: 2 layers in int8 (min-max, 16 images), 1 left floating",
        "quantize: weights: rounded by what it does to outputs, biases corrected, 16 images",
    ]
    with pytest.raises(CompressionError, match="No layer matches the pattern 'thrid'"):
        excluded_layers(exported, ["thrid"])


@pytest.mark.slow
def test_sensitive_layers_stay_floating(network, batches, exported, tmp_path, monkeypatch):
    """Those that alone change the logits most are kept, and no more than needed."""
    images = torch.cat([images for images, _ in batches])
    asked = []

    def evaluate(candidate):
        """Macro-F1 as if it were lost by what the second layer does in eight bits."""
        if isinstance(candidate, Int8Network):
            tensors = onnx.load_from_string(candidate.onnx_content).graph.initializer
            floating = {tuple(t.dims) for t in tensors if t.data_type == onnx.TensorProto.FLOAT}
            asked.append(floating & {(16, 3, 3, 3), (64, 16, 3, 3), (3, 64)})
            return {"val/f1": 0.9 if (64, 16, 3, 3) in floating else 0.8}
        return {"val/f1": 0.91}

    def context():
        return Context(
            sample=images[:2],
            image_size=(12, 14),
            train_batches=lambda: batches,
            evaluate=evaluate,
            scans=tmp_path,
        )

    step = Quantize(images=40, exclude="sensitive", method="minmax", max_f1_drop=0.02)
    plan = json.loads(json.dumps(step.plan(network, context(), 0)))
    scan = plan["sensitive"]
    expected = {}
    for layer in ("first", "second", "head"):  # the same again, by excluding the others
        others = [name for name in ("first", "second", "head") if name != layer]
        alone = Quantize(images=40, exclude=others, method="minmax")
        quantised = alone.apply(network, alone.plan(network, context(), 0))
        with torch.inference_mode():
            expected[layer] = (quantised(images) - network(images)).square().mean().item()
    assert scan["harm"] == pytest.approx(expected, rel=1e-3)
    order = sorted(scan["harm"], key=scan["harm"].get, reverse=True)
    count = order.index("second") + 1
    assert plan["floating"] == sorted(scan["kept"]) == sorted(order[:count])
    assert scan["f1"] == [0.91, *[0.8] * count, 0.9] and len(asked) == count + 1
    lines = step.describe(plan)
    assert f"sensitive: {count} of them: {', '.join(order[:count])}" in lines[1]
    assert "0.9100 before, 0.8000 all in int8, 0.9000 so" in lines[1]
    told = step.describe_layers(plan)
    assert told["second"].startswith("left floating as too sensitive (alone changes logits by")
    # What was measured once is only read.
    monkeypatch.setattr("compression.quantization.layer_sensitivity.int8_graph", None)
    assert step.plan(network, context(), 0)["sensitive"] == scan


def test_a_plain_scan_evaluates_on_labelled_batches(network, batches, exported):
    labelled = [(images, torch.arange(len(images)) % 3) for images, _ in batches]
    step = Quantize(images=40, exclude="sensitive", max_f1_drop=1)
    quantised, recipe = compress(network, [step], sample=batches[0][0][:2], batches=labelled)
    scan = recipe.entries[0].plan["sensitive"]
    assert isinstance(quantised, Int8Network) and scan["kept"] == []
    assert scan["f1"] == pytest.approx([macro_f1(network, labelled), macro_f1(quantised, labelled)])


def test_sensitive_needs_a_bound():
    with pytest.raises(CompressionError, match="max_f1_drop, which is null"):
        Quantize(exclude="sensitive", max_f1_drop=None)
    with pytest.raises(CompressionError, match=r"=\[3\].* must be `sensitive`, or a list"):
        Quantize(exclude=[3])


def test_where_no_number_is_enough_the_best_is_taken():
    harm = {"a": 1.0, "b": 3.0, "c": 2.0}
    f1 = {0: 0.1, 1: 0.4, 2: 0.6, 3: 0.5}
    kept, found = select_float_layers(harm, lambda layers: f1[len(layers)], 0.7)
    assert kept == ["b", "c"] and found == [0.1, 0.4, 0.6, 0.5]
    assert select_float_layers(harm, lambda layers: f1[len(layers)], 0.1) == ([], [0.1])


def test_too_few_images(batches):
    with pytest.raises(CompressionError, match="at least 16 training images, and there are 15"):
        calibration_images([(batches[0][0][:15], None)], 256)
    assert len(calibration_images(batches, 30)) == 30
    with pytest.raises(CompressionError, match="images=15 .* must be a number from 16"):
        Quantize(images=15)


def test_percentile_cuts_outliers_and_minmax_does_not():
    # A graph that passes its input on: the range is that of the pixels.
    helper, kinds = onnx.helper, onnx.TensorProto
    graph = helper.make_graph(
        [helper.make_node("Cast", ["images"], ["x"], to=kinds.FLOAT),
         helper.make_node("Relu", ["x"], ["y"])],
        "pass",
        [helper.make_tensor_value_info("images", kinds.UINT8, ["N", 3, 50, 50])],
        [helper.make_tensor_value_info("y", kinds.FLOAT, ["N", 3, 50, 50])],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    images = np.full((16, 3, 50, 50), 10, np.uint8)
    images[3, 0, 0, 0] = 200
    low, high = calibration.activation_ranges(model, images, method="minmax", percentile=99)["y"]
    assert high == 200 and low <= 10
    _, high = calibration.activation_ranges(model, images, method="percentile", percentile=99)["y"]
    assert 9.9 < high < 11  # the edge of one of 2048 bins


def test_nothing_may_follow():
    with pytest.raises(CompressionError, match="quantize must be the last step, but tucker"):
        check_order([Quantize(), Tucker()])


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"method": "entropy"}, "quantize.method=entropy does not exist; there are percentile, m"),
        ({"percentile": 101}, "percentile=101 is not allowed; it must be a percentage in 50..100"),
        ({"max_f1_drop": 2}, "max_f1_drop=2 is not allowed; it must be a ratio in 0..1 or null"),
    ],
)
def test_impossible_settings(settings, says):
    with pytest.raises(CompressionError, match=says):
        Quantize(**settings)
