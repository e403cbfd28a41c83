"""`compress()` on any plain network: done, or refused by a sentence; never a traceback."""

import json

import onnx
import pytest
import torch
from torch import nn
from torch.nn.utils import prune, weight_norm

from compression import (
    Prune,
    PruneLayers,
    PruneWeights,
    Quantize,
    QuantizeAware,
    Recipe,
    Tucker,
    compress,
)
from compression.cost.macs import count_macs
from compression.engine import check_network
from compression.errors import CompressionError
from compression.images import ImageKind
from compression.latency import relative_latency
from compression.onnx import input_dtype, onnx_session
from compression.step import Step


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width)

    def forward(self, x):
        return x + self.norm(self.conv(x)).relu()


class TwoOutputs(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network, self.extra = network, nn.Linear(4, 4)

    def forward(self, images):
        logits = self.network(images)
        return logits, self.extra(logits)


def plain(channels=3):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(channels, 32, 3, 2, 1),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.Sequential(Block(32), Block(32)),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 4),
    ).eval()


def batches(channels=3, dtype=torch.float32):
    images = torch.rand(24, channels, 16, 16, generator=torch.Generator().manual_seed(0))
    return [(part.to(dtype), torch.arange(8) % 4) for part in images.split(8)]


SAMPLE = batches()[0][0]
STEPS = {
    "prune": lambda: Prune(ratio=0.5),
    "taylor": lambda: Prune(ratio=0.5, importance="taylor"),
    "tucker": lambda: Tucker(ratio=0.3),
    "sensitivity": lambda: Tucker(ranks="sensitivity", sensitivity=0.5, include=["*1.conv"]),
    "layers": lambda: PruneLayers(target={"macs": 0.8}, choose="importance"),
    "weights": lambda: PruneWeights(sparsity=0.5),
}


def masked():
    network = plain()
    prune.l1_unstructured(network[3][0].conv, "weight", 0.5)
    network(SAMPLE)  # leaves a weight that PyTorch does not copy
    return network


def normed():
    network = plain()
    weight_norm(network[3][0].conv)
    network(SAMPLE)
    return network


def frozen():
    return plain().requires_grad_(False)


def mixed_modes():
    network = plain().train()
    network[1].eval()
    return network


def two_outputs():
    return TwoOutputs(plain()).eval()


def traced_by_fx():
    return torch.fx.symbolic_trace(plain())


# What is refused of them; all else is done.
REFUSED = {
    ("frozen", "taylor"): "every parameter of this network is frozen; unfreeze them",
    ("traced_by_fx", "layers"): "has no unit that prune_layers could remove",
}


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("make", [masked, normed, frozen, mixed_modes, two_outputs, traced_by_fx])
def test_odd_networks(make, step):
    network, data = make(), batches()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    trained = [parameter.requires_grad for parameter in network.parameters()]
    modes = [module.training for module in network.modules()]
    if step == "sensitivity" and make is not two_outputs:
        return  # takes long, and knows the network by its outputs only
    refused = REFUSED.get((make.__name__, step))
    if refused:
        with pytest.raises(CompressionError, match=refused):
            compress(network, [STEPS[step]()], sample=SAMPLE, batches=data)
    else:
        smaller, _ = compress(network, [STEPS[step]()], sample=SAMPLE, batches=data)
        smaller(SAMPLE)
        if make is frozen:
            assert not any(parameter.requires_grad for parameter in smaller.parameters())
        else:
            assert all(parameter.requires_grad for parameter in smaller.parameters())
    # The network itself is as it was.
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert trained == [parameter.requires_grad for parameter in network.parameters()]
    assert modes == [module.training for module in network.modules()]


def test_what_is_masked_elsewhere_is_left_alone_by_name():
    for step, says in [
        (Tucker(ratio=0.3), "1 masked (3.0.conv)"),
        (PruneWeights(sparsity=0.5), "left alone: 3.0.conv, whose weights are computed"),
    ]:
        smaller, recipe = compress(masked(), [step], sample=SAMPLE)
        assert says in " ".join(recipe.summary())
        assert "weight_mask" in smaller[3][0].conv._buffers


def scripted_part():
    network = plain()
    network[3] = torch.jit.script(network[3])
    return network


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:FutureWarning")
@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: torch.jit.script(plain()), "The network is TorchScript, .* it was made from"),
        (lambda: torch.jit.trace(plain(), SAMPLE), "The network is TorchScript"),
        (scripted_part, "The module 3 is TorchScript"),
        (lambda: torch.export.export(plain(), (SAMPLE,)).module(), "is an exported graph; give"),
        (lambda: torch.compile(plain()), "The network is compiled; give .* its _orig_mod"),
        (lambda: nn.DataParallel(plain()), "is DataParallel; give the one inside, its module"),
        (lambda: nn.Sequential(nn.LazyConv2d(8, 3)), "The module 0 is LazyConv2d without weights"),
        (lambda: plain().to("meta"), "lies on the meta device"),
        (lambda: plain(1), r"cannot take the sample \(float32 \[8, 3, 16, 16\]\): .* 1 channels"),
        (lambda: plain().half(), r"cannot take the sample \(float32 .*Half"),
        (lambda: torch.relu, "must be a torch.nn.Module, not builtin_function_or_method"),
    ],
)
def test_networks_that_nothing_can_be_done_to(make, says):
    with pytest.raises(CompressionError, match=says):
        compress(make(), [Tucker()], sample=SAMPLE)


@pytest.mark.parametrize(
    ("sample", "says"),
    [
        (SAMPLE[0], r"sample must be a batch of images, N x C x H x W, not \[3, 16, 16\]"),
        (SAMPLE.numpy(), "not ndarray"),
        (SAMPLE.byte(), r"cannot take the sample \(uint8"),
    ],
)
def test_samples_that_are_none(sample, says):
    with pytest.raises(CompressionError, match=says):
        check_network(plain(), sample)


@pytest.mark.parametrize("key", ["batches", "val_batches"])
def test_batches_that_can_be_read_once_only(key):
    with pytest.raises(CompressionError, match=f"{key} is a generator, which is empty once it"):
        compress(plain(), [Tucker()], sample=SAMPLE, **{key: (batch for batch in batches())})


@pytest.mark.parametrize(
    ("channels", "dtype"),
    [(1, torch.float32), (4, torch.float32), (13, torch.float64), (2, torch.bfloat16)],
)
def test_images_of_any_kind(channels, dtype):
    network, data = plain(channels).to(dtype), batches(channels, dtype)
    for step in (Prune(target={"macs": 0.6}), Tucker(target={"macs": 0.6})):
        smaller, _ = compress(network, [step], sample=data[0][0], batches=data)
        assert smaller(data[0][0]).dtype == dtype
        assert count_macs(smaller, 16) == pytest.approx(0.6 * count_macs(network, 16), rel=0.1)


def test_a_latency_is_measured_on_images_of_the_samples_kind(monkeypatch):
    seen = []

    def onnx_call(network, images, **_):
        seen.append(ImageKind.of(torch.from_numpy(images)))
        return 1.0

    class Asks(Step):
        name = "asks"

        def plan(self, network, context, round):
            return {"ratio": context.relative_latency.ratio(nn.Linear(1, 1))}

        @staticmethod
        def restructure(network, plan):
            return network

    monkeypatch.setattr(relative_latency, "onnx_call", onnx_call)
    monkeypatch.setattr(relative_latency, "stable_times", lambda calls: [[1.0]] * len(calls))
    compress(plain(4), [Asks()], sample=batches(4)[0][0])
    assert [(kind.channels, kind.dtype) for kind in seen] == [(4, torch.float32)] * 2
    assert all(0 <= kind.low < 0.1 and 0.9 < kind.high <= 1 for kind in seen)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Quantize, QuantizeAware])
def test_grey_networks_of_half_precision_in_eight_bits(kind):
    """Calibrated on their own images, in the float32 that onnxruntime quantises."""
    network, data, untrained = plain(1), batches(1), []
    halved_network = plain(1).half()
    halved_network[0].requires_grad_(False)
    halved_network[6].bias.requires_grad_(False)
    images = torch.cat([part for part, _ in data])
    halved = [(part.half(), labels) for part, labels in data]

    def fine_tune(tuned, *_):
        untrained.extend(name for name, p in tuned.named_parameters() if not p.requires_grad)

    int8, recipe = compress(
        halved_network,
        [kind(images=24)],
        sample=halved[0][0],
        batches=halved,
        fine_tune=fine_tune if kind is QuantizeAware else None,
    )
    assert untrained == (["0.weight", "0.bias", "6.bias"] if kind is QuantizeAware else [])
    plan = Recipe.from_json(recipe.to_json()).entries[0].plan
    assert plan["input"] == {"channels": 1, "dtype": "float32"} and json.dumps(plan)
    assert input_dtype(onnx_session(int8.onnx_content)) == "float32"
    shape = onnx.load_from_string(int8.onnx_content).graph.input[0].type.tensor_type.shape
    assert [d.dim_value for d in shape.dim][1:] == [1, 16, 16]
    with torch.inference_mode():
        expected = network(images)
    spread = expected.max() - expected.min()
    assert (int8(images) - expected).abs().max() < 0.05 * spread
    assert (int8(images.half()) - expected).abs().max() < 0.05 * spread
