"""Training aware of quantisation: what is trained is what the int8 file computes."""

import copy
import json

import pytest
import torch
from torch import nn

from compression import Context
from compression.errors import CompressionError
from compression.quantization import settings
from compression.quantization.int8_network import Int8Network
from compression.quantization.quantize import Quantize
from compression.quantization.quantize_aware import QuantizeAware
from compression.quantization.training_graph import set_training, training_graph

pytest.importorskip("torchao", reason="torchao is not installed: pip install '.[qat]'")
SIZE = (12, 14)


class Small(nn.Module):
    """Folded BatchNorm with an eps of its own, a residual written in place, a gate, dropout."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 16, 3, bias=True)
        self.norm = nn.BatchNorm2d(16, eps=0.1, momentum=0.3)
        self.second = nn.Conv2d(16, 16, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(16, eps=0.01)
        self.act = nn.Hardswish(inplace=True)
        self.drop = nn.Dropout(0.5, inplace=True)
        self.head = nn.Linear(16, 3)

    def forward(self, images):
        x = self.act(self.norm(self.first(images.float() / 255)))
        y = self.second_norm(self.second(x))
        y += x
        nn.functional.relu(y, inplace=True)  # y itself is used further on
        return self.head(self.drop(y.mean((2, 3))))


@pytest.fixture(scope="module")
def images():
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (40, 3, *SIZE), dtype=torch.uint8, generator=generator)


@pytest.fixture(scope="module")
def network(images):
    torch.manual_seed(0)
    network = Small()
    for norm in (network.norm, network.second_norm):
        nn.init.uniform_(norm.weight, 0.5, 2)
        nn.init.normal_(norm.bias)
    with torch.no_grad():
        for _ in range(8):
            network(images)
    network.norm.weight.data[0] = 0  # what sparsity training leaves
    return network.eval()


@pytest.fixture(scope="module")
def planned(network, images):
    """Step and plan; exporting takes seconds, so all tests share one."""
    step = QuantizeAware(images=40, method="minmax", averaging=0.1)
    context = Context(sample=images[:2], image_size=SIZE, train_batches=lambda: [(images, None)])
    return step, json.loads(json.dumps(step.plan(network, context, 0)))


@pytest.fixture(scope="module")
def applied(network, planned):
    return planned[0].apply(network, planned[1])


@pytest.fixture
def prepared(applied):
    """A copy for each test."""
    return copy.deepcopy(applied)


def test_the_training_graph_is_the_network(network, images):
    before = copy.deepcopy(network.state_dict())
    graph, twin = training_graph(network, SIZE), copy.deepcopy(network)
    twin.drop.p = 0.0
    set_training(graph, False)
    torch.testing.assert_close(graph(images[:1].float()), twin(images[:1]))
    set_training(graph, True)
    for node in graph.graph.nodes:
        if node.target == torch.ops.aten.dropout.default:
            node.update_arg(1, 0.0)
    graph.recompile()
    found, expected = graph(images.float()), twin.train()(images)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    found[:, 0].sum().backward()
    expected[:, 0].sum().backward()
    for name, parameter in twin.named_parameters():
        gradient = graph.get_parameter(name).grad
        if not name.startswith("first"):  # where its channel is scaled by 0, a gradient is noise
            torch.testing.assert_close(gradient, parameter.grad, atol=1e-4, rtol=1e-3)
    for name, buffer in twin.named_buffers():  # statistics, with the momentum of each
        if "tracked" not in name:
            torch.testing.assert_close(graph.get_buffer(name), buffer, atol=1e-4, rtol=1e-4)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.slow
def test_untrained_it_is_what_quantize_makes(network, images, planned, prepared):
    step, plan = planned
    finished = step.finish(prepared)
    assert isinstance(finished, Int8Network)
    assert finished.onnx_content == Quantize.apply(step, network, plan).onnx_content
    assert len(plan["places"]) == plan["rounded"] >= 6  # found all, by their values
    assert step.describe(plan) == [
        "3 layers in int8 (min-max, 40 images)",
        f"trained with {plan['rounded']} rounded activations",
    ]


@pytest.mark.slow
def test_rounded_in_training_as_in_the_file(images, planned, prepared):
    """Both round alike, but for ties: the logits differ by a step or two of the head's inputs."""
    step = planned[0]
    optimizer = torch.optim.SGD(prepared.parameters(), lr=0.05)
    first = prepared.ranges()
    labels = torch.arange(40) % 3
    for _ in range(3):
        loss = nn.functional.cross_entropy(prepared.train()(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    learnt = prepared.eval().ranges()
    moved = [name for name in planned[1]["places"] if learnt[name] != first[name]]
    assert len(moved) >= 4  # pixels and gates keep theirs
    with torch.inference_mode():
        expected, again = prepared(images), prepared(images.float())
        float_logits = prepared.trained()(images)
    assert torch.equal(expected, again) and prepared.ranges() == learnt  # evaluating learns nothing
    found = step.finish(prepared)(images)
    spread = (expected.max() - expected.min()).item()
    error, rounding = (found - expected).abs(), (float_logits - expected).abs()
    assert error.max() < 0.02 * spread and error.mean() < 0.2 * rounding.mean()


def test_it_can_be_copied_moved_and_loaded(network, images, prepared):
    names = {name for name in network.state_dict() if "tracked" not in name}
    assert names < set(prepared.state_dict())  # rates and frozen layers find them
    assert {n for n, _ in network.named_parameters()} == {n for n, _ in prepared.named_parameters()}
    twin = copy.deepcopy(prepared).to(memory_format=torch.channels_last)
    with torch.no_grad():
        prepared.head.weight.mul_(2)
        prepared.norm.running_mean.add_(1)
        assert not torch.allclose(prepared(images), twin(images))
    twin.load_state_dict(prepared.state_dict())
    assert torch.equal(twin(images), prepared(images))
    before = twin.ranges()
    twin.train()(images // 2)  # what was stored while evaluating goes on learning
    assert twin.ranges() != before
    twin.eval()
    for module in twin.modules():  # as Lightning gives modes back
        module.training = True
    assert not torch.equal(twin(images), twin(images))  # dropout


@pytest.mark.slow
def test_excluded_layers_stay_floating_in_training(network, images, planned):
    step, plan = planned
    prepared = step.apply(network, {**plan, "floating": ["head"]})
    heads = [node for node in prepared._graph[0].graph.nodes if "linear" in node.name]
    assert [node.args[1].target for node in heads] == ["head.weight"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"averaging": 2}, "quantize_aware.averaging=2 is not allowed; it must be a ratio in 0..1"),
        (
            {"method": "entropy"},
            "aware.method=entropy does not exist; there are percentile",
        ),
        ({"images": 3}, "quantize_aware.images=3 is not allowed; it must be a number from 16"),
        (
            {"reduce_range": 1},
            "aware.reduce_range=1 is not allowed; it must be true",
        ),
    ],
)
def test_impossible_settings(given, says):
    with pytest.raises(CompressionError, match=says):
        QuantizeAware(**given)


def test_without_torchao(monkeypatch):
    monkeypatch.setattr(settings, "find_spec", lambda _: None)
    with pytest.raises(CompressionError, match=r"pip install '\.\[qat\]'"):
        QuantizeAware()
