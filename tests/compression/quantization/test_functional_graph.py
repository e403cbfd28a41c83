"""Training graphs of networks of any kind: the same logits, a gradient for all, nothing written."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from compression.errors import CompressionError
from compression.outputs import main_output
from compression.quantization.functional_graph import functional_graph
from compression.quantization.gradients import reached, trainable_graph
from compression.quantization.training_graph import set_training
from tests.fixtures.cases.networks import NETWORKS, Body


class AddToView(Body):
    """`+=` on a view, writes with a stride, filling, an operation on a view of a view."""

    def __init__(self):
        super().__init__()
        self.l = nn.Conv2d(16, 16, 1)

    def middle(self, x):
        x = x.clone()
        a = x[:, :16]
        a += self.l(x[:, 16:])
        x[:, 16::2] *= 2
        x[:, 0] = 0
        a[:, :, ::2].clamp_(max=2)
        return x


class Unbind(Body):
    """Attention as ViT writes it."""

    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(32, 96)

    def middle(self, x):
        tokens = F.avg_pool2d(x, 4).flatten(2).transpose(1, 2)
        q, k, v = self.qkv(tokens).reshape(-1, 64, 3, 4, 8).permute(2, 0, 3, 1, 4).unbind(0)
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return x + y.mean(1)[:, :, None, None]


class Encoder(Body):
    def __init__(self):
        super().__init__()
        self.encoder = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)

    def middle(self, x):
        return x + self.encoder(x.mean(2).transpose(1, 2)).mean(1)[:, :, None, None]


class Gru(Body):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(32, 16, batch_first=True, bidirectional=True)

    def middle(self, x):
        return x + self.gru(x.mean(2).transpose(1, 2))[0].transpose(1, 2)[:, :, None]


class Norms(Body):
    """BatchNorm without statistics, with an average of all batches, and dropout in place."""

    def __init__(self):
        super().__init__()
        self.drop = nn.Dropout2d(0.5, inplace=True)
        self.batch = nn.BatchNorm2d(32, track_running_stats=False)
        self.average = nn.BatchNorm2d(32, momentum=None)
        self.instance = nn.InstanceNorm2d(32, affine=True, track_running_stats=True)

    def middle(self, x):
        return self.instance(self.average(self.batch(self.drop(x))))


class WritesIntoInput(Body):
    def forward(self, images):
        images.sub_(0.5)
        return super().forward(images)


class Reused(Body):
    def __init__(self):
        super().__init__()
        self.a, self.n = nn.Conv2d(32, 32, 3, padding=1), nn.BatchNorm2d(32)

    def middle(self, x):
        return self.n(self.a(F.relu(self.n(self.a(x)))))


class NoGrad(Body):
    """A layer that the logits depend on and that no gradient reaches."""

    def __init__(self):
        super().__init__()
        self.l = nn.Conv2d(32, 32, 1)

    def middle(self, x):
        with torch.no_grad():
            y = self.l(x)
        return x + y


class Detached(NoGrad):
    def middle(self, x):
        return x + self.l(x).detach()


class Data(NoGrad):
    def middle(self, x):
        return x + F.conv2d(x, self.l.weight.data)


class Stored(Body):
    """LeViT's attention stores what it makes of its biases, for evaluation."""

    def __init__(self):
        super().__init__()
        self.biases, self.made = nn.Parameter(torch.rand(32)), None

    def middle(self, x):
        if self.training or self.made is None:
            self.made = self.biases[torch.arange(31, -1, -1)]
        return x + self.made[:, None, None]

    def train(self, mode=True):
        self.made = None if mode else self.made
        return super().train(mode)


class Frozen(Detached):
    def __init__(self):
        super().__init__()
        self.l.requires_grad_(False)


KIN = (AddToView, Unbind, Encoder, Gru, Norms, WritesIntoInput, Reused, Frozen)
FAST = {"InPlaceSlice", "InPlaceView", "ChunkSplitUnbind", "AddToView"}
REFUSED = {
    "LoopsOverBatch": r"makes the number of images a constant \(networks.py:.*for i in x",
    "ValueBranch": r"values of tensors decide .*\(networks.py:.*if x.mean\(\) > 0",
    "DropoutInEval": r"draws random numbers in eval mode by aten.dropout",
    "NoGrad": "cannot train l.weight, l.bias: the logits depend on them, but no gradient reaches",
    "Detached": "cannot train l.weight, l.bias: .*; freeze them with requires_grad_",
    "Data": "takes the values of l.weight past the tracer, as .data does",
}
SLOW = pytest.mark.slow
ALL = {**NETWORKS, **{kind.__name__: kind for kind in (*KIN, NoGrad, Detached, Data)}}


def network_of(name: str) -> nn.Module:
    torch.manual_seed(0)
    network = ALL[name]()
    with torch.no_grad():  # shapes lazy layers, and moves statistics off 0 and 1
        network(torch.rand(4, 3, 64, 64))
    return network.eval()


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n in FAST else SLOW) for n in ALL if n not in REFUSED]
)
def test_the_graph_is_the_network_and_trains_all_of_it(name):
    network, images = network_of(name), torch.rand(3, 3, 64, 64)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    graph = trainable_graph(network, images)
    with torch.no_grad():
        expected = main_output(copy.deepcopy(network)(images.clone()))
        torch.testing.assert_close(graph(images), expected, atol=1e-5, rtol=1e-5)
    for mode in (False, True):
        set_training(graph, mode)
        # What the logits have no part of, the auxiliary heads, is in no int8 file either.
        names = {n for n, p in network.named_parameters() if p.requires_grad and "extra" not in n}
        assert names <= reached(graph, images)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert {n: p.requires_grad for n, p in network.named_parameters()} == {
        n: p.requires_grad for n, p in graph.named_parameters()
    }
    for node in graph.graph.nodes:  # nothing is written but the statistics of BatchNorm
        schema = getattr(node.target, "_schema", None)
        assert schema is None or not schema.is_mutable


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n == "Detached" else SLOW) for n in REFUSED]
)
def test_refused_by_its_reason(name):
    with pytest.raises(CompressionError, match=REFUSED[name]):
        trainable_graph(network_of(name), torch.rand(2, 3, 64, 64))


def test_layers_that_are_written_into_slices_learn():
    """The gradients are those of the same network written without slices."""
    network = network_of("InPlaceSlice")

    def apart(x):
        x = network.stem(x)
        x = torch.cat([network.side(x[:, :16]), x[:, 16:]], 1)
        return network.head(F.relu(network.last(x)))

    images = torch.rand(3, 3, 64, 64)
    apart(images).square().sum().backward()
    graph = functional_graph(network, (64, 64))
    graph(images).square().sum().backward()
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(graph.get_parameter(name).grad, parameter.grad)


def test_what_is_stored_for_evaluation_is_trained():
    network = Stored().eval()
    with torch.no_grad():
        network(torch.rand(2, 3, 64, 64))
    graph = trainable_graph(network, torch.rand(2, 3, 64, 64))
    assert reached(graph, torch.rand(2, 3, 64, 64)) >= {"biases"}
    assert network.made is not None
