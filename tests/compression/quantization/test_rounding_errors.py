"""What loses: each part of the rounding alone, against graphs that are rounded by hand."""

import copy

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from compression import Context
from compression.errors import CompressionError
from compression.layer_moments import InputMoments
from compression.onnx.network import onnx_session, run_session
from compression.quantization.graph import float_graph
from compression.quantization.quantize import Quantize
from compression.quantization.rounding_errors import floating_activations, rounding_errors


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, stride=2)
        self.head = nn.Linear(6, 4)

    def forward(self, images):
        return self.head(self.first(images.float() / 255).relu().mean((2, 3)))


@pytest.fixture(scope="module")
def case():
    torch.manual_seed(0)
    network = Two().eval()
    network.head.weight.data *= 20
    images = torch.randint(0, 256, (40, 3, 8, 8), dtype=torch.uint8)
    labels = network(images).argmax(1)
    batches = [(images[:20], labels[:20]), (images[20:], labels[20:])]
    graph = float_graph(network, (8, 8))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "compression.quantization.quantization.float_graph", lambda *_: copy.deepcopy(graph)
        )
        context = Context(
            sample=images[:2],
            image_size=(8, 8),
            train_batches=lambda: batches,
            val_batches=lambda: batches,
            moments=InputMoments(network, lambda: batches),
        )
        yield network, context, graph, images


def test_parts_of_the_rounding(case):
    network, context, graph, images = case
    step = Quantize(images=40, method="minmax", rounding="nearest", bias_correction=False)
    found = {error.what: error for error in rounding_errors(step, network, context)}
    assert list(found)[-2:] == ["first", "head"] and len(found) == 10
    nothing = found["nothing"]
    assert (nothing.f1, nothing.agreement) == (1, 1) and nothing.kl == pytest.approx(0, abs=1e-6)
    # By hand: the weights in the float graph, each on its grid of 7 bits.
    by_hand = copy.deepcopy(graph)
    for tensor in by_hand.graph.initializer:
        value = numpy_helper.to_array(tensor)
        if tensor.name.endswith(".weight"):
            axes = tuple(range(1, value.ndim))
            scale = np.abs(value).max(axes, keepdims=True) / 64
            value = (np.round(value / scale) * scale).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
    logits = [
        torch.from_numpy(run_session(onnx_session(m.SerializeToString()), images.numpy()))
        for m in (graph, by_hand)
    ]
    before, after = (values.log_softmax(1) for values in logits)
    expected = (before.exp() * (before - after)).sum(1).mean().item()
    assert found["weights alone, 7 bits"].kl == pytest.approx(expected, rel=0.05)
    assert found["weights alone, 8 bits"].kl < found["weights alone, 7 bits"].kl
    same = found["all, weights of 7 bits"]
    assert same.kl == pytest.approx(found["all, as the step does it"].kl)
    assert same.kl > found["activations alone"].kl > 0
    for error in found.values():  # there are no others here than the 40 images of both splits
        assert error.training_kl == pytest.approx(error.kl, rel=1e-4, abs=1e-7)


def test_weights_of_an_int8_file_in_the_float_graph(case):
    network, context, graph, _ = case
    step = Quantize(images=40, method="minmax")
    plan, model, _ = step.calibrated(network, context)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "compression.quantization.quantize.float_graph", lambda *_: copy.deepcopy(graph)
        )
        content = step.apply(network, plan, context).onnx_content
    changed = onnx.load_from_string(floating_activations(content, model))
    values = {t.name: numpy_helper.to_array(t) for t in changed.graph.initializer}
    first = values["first.weight"]
    step_size = np.abs(first).max((1, 2, 3), keepdims=True) / 64
    assert np.abs(first - network.first.weight.detach().numpy()).max() < 3 * step_size.max()
    assert [node.op_type for node in changed.graph.node] == [n.op_type for n in graph.graph.node]


def test_only_weights_and_no_images(case):
    network, context, _, _ = case
    step = Quantize(images=40, method="minmax", activations="float")
    found = [error.what for error in rounding_errors(step, network, context, by_layer=False)]
    assert found == ["nothing", "all, as the step does it"]
    bare = Context(sample=context.sample, image_size=(8, 8), train_batches=context.train_batches)
    with pytest.raises(CompressionError, match="looked at on validation images: there are none"):
        next(rounding_errors(step, network, bare))
