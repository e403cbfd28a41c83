"""First layers and gates that stay floating, by what the rest does to the logits."""

import copy

import numpy as np
import onnx
import pytest
import torch
from torch import nn
from torch.nn.functional import kl_div

from compression import Context
from compression.errors import CompressionError
from compression.quantization import float_first, quantize
from compression.quantization.graph import float_graph, floating_nodes, gate_nodes
from compression.quantization.quantize import Quantize

PIXELS = torch.Generator().manual_seed(1)
IMAGES = torch.randint(0, 256, (64, 3, 8, 8), dtype=torch.uint8, generator=PIXELS)
CONTEXT = Context(
    sample=IMAGES[:2],
    image_size=(8, 8),
    train_batches=lambda: [(IMAGES[:32], None), (IMAGES[32:], None)],
)


class Gated(nn.Module):
    """A first layer of wide outputs, a gate, a layer and a head."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, stride=2)
        self.second = nn.Conv2d(6, 8, 1)
        self.head = nn.Linear(8, 4)

    def forward(self, images):
        x = nn.functional.hardswish(self.first(images.float() / 255))
        return self.head(self.second(x).relu().mean((2, 3)))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = Gated().eval()
    with torch.no_grad():
        network.first.weight[0] *= 100  # an outlier: the others have few levels left
        network.second.weight[:, 0] /= 100
        network.head.weight *= 5
    return network


@pytest.fixture(scope="module")
def graph(network):
    """Exporting takes seconds, so all tests share one graph."""
    graph = float_graph(network, (8, 8))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quantize, "float_graph", lambda *_: copy.deepcopy(graph))
        patch.setattr("compression.quantization.quantization.float_graph", quantize.float_graph)
        patch.setattr(float_first, "SHARE", 1)
        yield graph


@pytest.mark.slow
def test_nodes_behind_floating_layers_float(graph):
    def kinds(names):
        return sorted(node.op_type for node in graph.graph.node if node.name in names)

    assert kinds(gate_nodes(graph)) == ["HardSigmoid", "Mul"]
    assert kinds(floating_nodes(graph, ["first"])) == ["Conv", "HardSigmoid", "Mul"]
    assert kinds(floating_nodes(graph, ["second"])) == ["Conv", "Relu"]


@pytest.mark.slow
def test_what_changes_the_logits_least_is_taken(network, graph):
    """Each choice, made by hand, has the divergence that the plan says."""
    step = Quantize(images=32, method="minmax")
    plan = step.plan(network, CONTEXT, 0)
    choices = {(choice["layers"], choice["gates"]): choice["kl"] for choice in plan["first"]}
    assert {*choices} == {(count, gates) for count in (0, 1, 2) for gates in (False, True)}
    assert plan["first"][-1]["kl"] == min(choices.values()) < choices[0, False]
    held_out = IMAGES[32:]
    with torch.inference_mode():
        expected = network(held_out).log_softmax(1)
    for count in (0, 2):
        fixed = Quantize(images=32, method="minmax", float_first=count)
        said = fixed.apply(network, fixed.plan(network, CONTEXT, 0))(held_out).log_softmax(1)
        kl = kl_div(said, expected, reduction="batchmean", log_target=True).item()
        assert kl == pytest.approx(choices[count, count > 0], abs=1e-7)
    taken = plan["first"][-1]
    assert plan["floating"] == ["first", "second"][: taken["layers"]]
    assert not {*plan["bits"]} & {*plan["floating"]}
    assert f"the first {taken['layers']} layers" in step.describe(plan)[-1]


@pytest.mark.slow
def test_small_networks_stay_whole(network, graph, monkeypatch):
    monkeypatch.setattr(float_first, "SHARE", 10)
    plan = Quantize(images=32).plan(network, CONTEXT, 0)
    assert plan["floating"] == [] and "first" not in plan


@pytest.mark.slow
def test_logits_are_not_rounded(network, graph):
    step = Quantize(images=32, float_first=0)
    plan = step.plan(network, CONTEXT, 0)
    network_int8 = step.apply(network, plan)
    rounded_graph = onnx.load_from_string(network_int8.onnx_content).graph
    makers = {name: node.op_type for node in rounded_graph.node for name in node.output}
    assert makers["logits"] == "Gemm"
    with torch.inference_mode():
        logits = network_int8(IMAGES).numpy()
        del plan["float_output"]  # as in plans of earlier versions
        rounded = step.apply(network, plan)(IMAGES).numpy()
    assert len(np.unique(rounded)) < len(np.unique(logits))
    assert np.abs(rounded - logits).max() < 0.02 * np.abs(logits).max()


def test_numbers_of_layers():
    with pytest.raises(CompressionError, match="float_first=-1 .* `auto`, or a number of layers"):
        Quantize(float_first=-1)
