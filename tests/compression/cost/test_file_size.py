"""Bytes of saved weights, as they are counted and as a file has them; and targets for them."""

import pytest
import torch
from safetensors.torch import save
from torch import nn

from compression import SVD, Prune, PruneLayers, SpatialSVD, Tucker, compress
from compression.context import Context
from compression.cost import data_bytes, file_bytes, meta_copy
from compression.errors import CompressionError
from compression.hybrid import Hybrid

SIZE = (12, 12)
IMAGES = torch.rand(24, 3, *SIZE, generator=torch.Generator().manual_seed(1))
BATCHES = [(IMAGES, torch.arange(24) % 3)]


class Residual(nn.Module):
    """Units of one width, norms, half-precision numbers, and one weight that two layers have."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16))
        self.body = nn.Sequential(*(Unit(16) for _ in range(3)))
        self.one, self.other = nn.Conv2d(16, 24, 1), nn.Conv2d(16, 24, 1)
        self.other.weight = self.one.weight
        self.head = nn.Linear(24, 3)
        self.register_buffer("scale", torch.ones(5, dtype=torch.float16))
        self.register_buffer("passing", torch.ones(7), persistent=False)

    def forward(self, images):
        x = self.body(self.stem(images))
        return self.head((self.one(x) + self.other(x)).relu().mean((2, 3)))


class Unit(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, 2 * width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(2 * width)
        self.second = nn.Conv2d(2 * width, width, 1)

    def forward(self, x):
        return x + self.second(self.norm(self.first(x)).relu())


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return Residual().eval()


def saved(network: nn.Module) -> tuple[int, int]:
    """Bytes of a file with the network as it is saved: without the header, and with it."""
    tensors = {
        name: tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in network.state_dict().items()
    }
    content = save({name: tensor.clone() for name, tensor in tensors.items()})
    return len(content) - 8 - int.from_bytes(content[:8], "little"), len(content)


def test_bytes_are_those_of_the_file(network):
    assert (data_bytes(network), file_bytes(network)) == saved(network)
    assert (data_bytes(meta_copy(network)), file_bytes(meta_copy(network))) == saved(network)


STEPS = [
    (Prune, {"round_to": 1}),
    (PruneLayers, {}),
    (Tucker, {}),
    (SpatialSVD, {"ranks": "energy"}),
    pytest.param(Prune, {"round_to": 1, "ratios": "optimal"}, marks=pytest.mark.slow),
    pytest.param(SVD, {"ranks": "optimal"}, marks=pytest.mark.slow),
    pytest.param(Hybrid, {"round_to": 1}, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("step", "settings"), STEPS)
def test_a_target_of_bytes_is_met(network, step, settings):
    goal = {PruneLayers: 0.7, SVD: 0.95}.get(step, 0.6)
    steps = [step(target={"file_bytes": goal}, **settings)]
    smaller, recipe = compress(network, steps, sample=IMAGES[:2], batches=BATCHES)
    ratio = saved(smaller)[0] / saved(network)[0]
    assert goal - 0.1 < ratio <= goal * 1.02
    assert f"{ratio:.1%} of the bytes of saved weights" in "\n".join(recipe.summary())


def test_pruning_knows_them_by_arithmetic(network):
    step = Prune(round_to=1, target={"file_bytes": 0.5}, importance="l2")
    context = Context(sample=IMAGES, image_size=SIZE, entry_cost={"file_bytes": saved(network)[0]})
    plan = step.structural_plan(meta_copy(network), context, 0).plan
    counted = data_bytes(Prune.restructure(meta_copy(network), plan)) / saved(network)[0]
    assert counted == pytest.approx(0.5, rel=0.02) and f"{counted:.1%} of the bytes" in plan["why"]
    with pytest.raises(CompressionError, match=r"target.file_bytes=0.001 cannot .* saved weights"):
        compress(network, [Prune(target={"file_bytes": 0.001})], sample=IMAGES)
