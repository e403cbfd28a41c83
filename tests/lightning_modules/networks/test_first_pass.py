"""What a network's code leaves open, gives, or cannot do, at its first pass."""

from collections import namedtuple
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from compression.cost import count_macs
from lightning_modules.errors import ConfigError
from lightning_modules.networks import build_network, load_network, meta_network, save_network
from tests.fixtures.cases.networks import NETWORKS

PIXELS = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8)
# MACs of one image of 64 x 64 pixels: of the kinds of `NETWORKS` that do not run on meta, too.
COMMON = 32 * 27 * 32**2 + 48 * 288 * 16**2 + 48 * 6
MACS = {
    "TensorInForward": COMMON,
    "PlainTensorAttribute": COMMON,
    "ValueBranch": COMMON,
    "Lazy": COMMON,
    "ComplexView": COMMON,
    "CircularPadding": COMMON,
    "DropoutInEval": COMMON,
    "LoopsOverBatch": COMMON,
    "TupleOutput": COMMON + 32 * 6,
    "Volume": COMMON + 8 * 32**2 * 4 * 4 * 27,
    "MixtureOfKernels": COMMON + 32 * 4 + 4 * 32 * 32 * 9 + 32 * 288 * 32**2,
    "Distances": COMMON - 48 * 6,
}


def bring(*, kind: str, num_classes: int) -> nn.Module:
    return NETWORKS[kind]()


@pytest.mark.parametrize("kind", NETWORKS)
def test_every_kind_is_built_and_counted(kind):
    node = {"_target_": f"{__name__}.bring", "kind": kind}
    network = build_network(node, num_classes=6, image_size=64)
    outline = meta_network(node, num_classes=6, image_size=64)
    assert network(torch.zeros(2, 3, 64, 64, dtype=torch.uint8)).shape == (2, 6)
    assert (
        count_macs(network, 64)
        == count_macs(outline, 64)
        == MACS.get(kind, count_macs(network, 64))
    )


Named = namedtuple("Named", "features logits")


@dataclass
class ModelOutput:
    """As transformers' own, which names the logits and may leave others out."""

    loss: Tensor | None
    logits: Tensor
    hidden_states: tuple[Tensor, ...] | None = None


SHAPES = {
    "tuple": lambda main, other: (main, other),
    "list": lambda main, other: [main, [other]],
    "dict": lambda main, other: {"aux": other, "out": main},
    "named": lambda main, other: Named(features=other, logits=main),
    "dataclass": lambda main, other: ModelOutput(loss=None, logits=main, hidden_states=(other,)),
    "nested": lambda main, other: {"logits": (main, other), "aux": other},
}


class Gives(nn.Module):
    def __init__(self, *, num_classes: int, shape: str) -> None:
        super().__init__()
        self.main, self.other = (nn.Linear(3, num_classes) for _ in range(2))
        self.shape = shape

    def forward(self, x: Tensor):
        x = x.mean((2, 3))
        return SHAPES[self.shape](self.main(x), self.other(x))


@pytest.mark.parametrize("shape", SHAPES)
def test_the_main_output_are_the_logits(shape, tmp_path):
    node = {"_target_": f"{__name__}.Gives", "shape": shape}
    network = build_network(node, num_classes=4, image_size=16).eval()
    expected = network.body.main(network.pixels(PIXELS).mean((2, 3)))
    torch.testing.assert_close(network(PIXELS), expected)
    save_network(network, tmp_path)
    assert torch.equal(load_network(tmp_path, trust=["tests"])(PIXELS), network(PIXELS))


class Unshaped(nn.Sequential):
    def __init__(self, *, num_classes: int) -> None:
        super().__init__(
            nn.LazyConv2d(8, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(num_classes)
        )


def test_lazy_layers_get_their_shapes_from_one_pass(tmp_path):
    node = {"_target_": f"{__name__}.Unshaped"}
    network = build_network(node, num_classes=4, image_size=16)
    assert network.training and network.body[1].training
    assert network.body[3].weight.shape == (4, 8 * 14 * 14)
    assert (network.body[1].running_mean == 0).all()  # that pass was no image
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    network(PIXELS).sum().backward()
    optimizer.step()
    network.eval()
    save_network(network, tmp_path)
    assert torch.equal(load_network(tmp_path, trust=["tests"])(PIXELS), network(PIXELS))
    assert count_macs(meta_network(node, num_classes=4, image_size=16), 16) == 8 * 14**2 * (27 + 4)


class DrawnOnce(nn.Module):
    """A tensor with random values that is no buffer."""

    def __init__(self, *, num_classes: int) -> None:
        super().__init__()
        self.directions = torch.randn(num_classes, 3)

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3)) @ self.directions.T


def test_plain_tensors_follow_the_network_and_are_saved(tmp_path):
    network = build_network({"_target_": f"{__name__}.DrawnOnce"}, num_classes=4, image_size=16)
    assert dict(network.body.named_buffers()).keys() == {"directions"}
    save_network(network, tmp_path)
    assert torch.equal(load_network(tmp_path, trust=["tests"])(PIXELS), network(PIXELS))


class Only32(nn.Module):
    def __init__(self, *, num_classes: int) -> None:
        super().__init__()
        self.fc = nn.Linear(3 * 32 * 32, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x.flatten(1))


class Broken(nn.Module):
    def __init__(self, *, num_classes: int) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 8, 3), nn.Linear(9, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.conv(x).mean((2, 3)))


class Misspelt(Broken):
    def forward(self, x: Tensor) -> Tensor:
        return self.fx(x)


class GivesNothing(Broken):
    def forward(self, x: Tensor) -> None:
        self.conv(x)


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (Only32, "such as 32, or let the network resize them with model.input_size=32"),
        (Broken, r"\(1x8 and 9x4\) \(Broken.forward, test_first_pass.py line \d+\); no other size"),
        (Misspelt, r"no attribute 'fx' \(Misspelt.forward, .*; no other size helps, its code"),
        (GivesNothing, "gives None without a tensor"),
    ],
)
def test_the_sentence_names_the_size_only_where_it_is_the_reason(kind, says):
    with pytest.raises(ConfigError, match=says) as caught:
        build_network({"_target_": f"{__name__}.{kind.__name__}"}, num_classes=4, image_size=16)
    assert ("data.image_size" in str(caught.value)) == (kind is Only32)
