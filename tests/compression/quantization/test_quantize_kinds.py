"""Training aware of quantisation on networks of every kind: rounded in training as in the file."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from compression import Context
from compression.outputs import main_output
from compression.quantization.quantize_aware import QuantizeAware
from tests.fixtures.cases.networks import NETWORKS, Body

pytest.importorskip("torchao", reason="torchao is not installed: pip install '.[qat]'")


class Mixed(nn.Module):
    """Pooling, positions, attention, LayerNorm, `chunk`, a layer written into a slice."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, 2, padding=1)
        self.norm = nn.BatchNorm2d(16)
        self.positions = nn.Parameter(torch.randn(1, 16, 16) / 5)
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True)
        self.layer_norm = nn.LayerNorm(16)
        self.side, self.up = nn.Linear(8, 8), nn.Linear(8, 16)
        self.frozen = nn.Linear(16, 16).requires_grad_(False)
        self.head = nn.Linear(16, 3)

    def forward(self, images):
        x = F.relu(self.norm(self.stem(images.float() / 255)), inplace=True)
        x = F.avg_pool2d(x, 2).flatten(2).transpose(1, 2) + self.positions
        x = x + self.attention(x, x, x, need_weights=False)[0]
        x = self.layer_norm(x).clone()
        x[..., :8] = self.side(x[..., :8])
        a, b = x.chunk(2, -1)
        return self.head(self.frozen(self.up(a * b)).mean(1))


class Transposed(Body):
    """BatchNorm after a transposed convolution and a linear layer; groups, which stay floating."""

    def __init__(self):
        super().__init__()
        self.up, self.norm = nn.ConvTranspose2d(32, 32, 2, 2), nn.BatchNorm2d(32)
        self.grouped = nn.ConvTranspose2d(32, 32, 2, 2, groups=2)
        self.line, self.line_norm = nn.Linear(32, 32, bias=False), nn.BatchNorm1d(32)

    def middle(self, x):
        x = F.relu(self.norm(self.up(F.max_pool2d(x, 4))))
        x = self.grouped(x)
        return x + F.relu(self.line_norm(self.line(x.mean((2, 3)))))[:, :, None, None]


class Pixels(nn.Module):
    """A network for 0..1 as one for raw pixels."""

    def __init__(self, body):
        super().__init__()
        self.body = body

    def forward(self, images):
        return main_output(self.body(images.float() / 255))


KINDS = ("ChunkSplitUnbind", "InPlaceSlice", "InPlaceView", "Attention", "Recurrent", "Tied",
        "WeightNorm", "OwnConvolution", "MixtureOfKernels", "Volume", "Conv1dNet", "LenBatch",
        "TupleOutput", "FiveDimensionalAttention", "Distances", "BlurBuffer")  # fmt: skip


def network_of(name):
    torch.manual_seed(0)
    own = {"Mixed": Mixed, "Transposed": lambda: Pixels(Transposed())}
    network = own[name]() if name in own else Pixels(NETWORKS[name]())
    size = 16 if name == "Mixed" else 64
    with torch.no_grad():
        for _ in range(4):
            network.train()(torch.randint(0, 256, (16, 3, size, size)))
    return network.eval(), size


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Mixed", "Transposed", *KINDS])
def test_all_learns_rounded_as_in_the_file(name):
    network, size = network_of(name)
    frozen = {n: p.detach().clone() for n, p in network.named_parameters() if not p.requires_grad}
    images = torch.randint(0, 256, (32, 3, size, size), dtype=torch.uint8)
    context = Context(
        sample=images[:2], image_size=(size, size), train_batches=lambda: [(images, None)]
    )
    step = QuantizeAware(images=32, method="minmax", averaging=0.1)
    plan = step.plan(network, context, 0)
    if name != "MixtureOfKernels":  # whose images are channels of one: its file takes one image
        assert len(plan["places"]) == plan["rounded"]
    prepared = step.apply(network, plan)
    trained = [p for p in prepared.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=1e-3)
    for _ in range(2):
        loss = F.cross_entropy(prepared.train()(images), torch.arange(32) % 3)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    idle = [n for n, p in prepared.named_parameters() if p.requires_grad and p.grad is None]
    assert idle == [name for name in idle if "extra" in name]  # not in the file either
    for key, value in frozen.items():
        assert torch.equal(prepared.get_parameter(key), value)
    for softmax in plan["fixed"]:
        assert prepared.ranges()[softmax] == [0, 1]
    with torch.inference_mode():
        expected, floating = prepared.eval()(images), prepared.trained()(images)
    found = step.finish(prepared)(images)
    spread, error = (expected.max() - expected.min()).item(), (found - expected).abs()
    assert error.max() < 0.02 * spread
    # Ties, which one of both rounds up, pass through attention into more and more values.
    ties = 1 if name == "Mixed" else 0.4
    assert error.mean() < ties * (floating - expected).abs().mean()
    if name == "Mixed":
        kinds = sorted(plan["constants"].values())
        assert kinds == ["int8", "uint8", "uint8", "uint8", "uint8", "uint8"]
        assert plan["shared"] and len(plan["fixed"]) == 1
    if name == "Transposed":
        assert plan["floating"] == ["body.grouped"] and "body.up" in plan["layers"]
