"""Terms of the loss before pruning: by name, by `_target_`, and functions of one's own."""

import pytest
import torch
from torch import nn

from compression import Prune
from compression.errors import CompressionError
from compression.pruning.penalties import bn_scales, group_norms
from compression.pruning.settings import PENALTIES


def network() -> nn.Sequential:
    layers = nn.Sequential(nn.Conv2d(2, 3, 1, bias=False), nn.BatchNorm2d(3))
    layers[0].weight.data = torch.tensor([[3.0, 4.0], [0.0, 0.0], [6.0, 8.0]])[..., None, None]
    layers[1].weight.data = torch.tensor([1.0, -2.0, 0.5])
    return layers


def squares(network: nn.Module) -> torch.Tensor:
    return sum(p.square().sum() for p in network.parameters() if p.ndim > 1)


class Scaled:
    def __init__(self, factor: float) -> None:
        self.factor = factor

    def __call__(self, network: nn.Module) -> torch.Tensor:
        return self.factor * squares(network)


def test_values_by_hand():
    layers = network()
    assert bn_scales(layers).item() == 3.5
    assert group_norms(layers).item() == pytest.approx(15 * 2**0.5)
    group_norms(layers).backward()
    assert layers[0].weight.grad.isfinite().all()
    assert bn_scales(nn.Sequential()) == 0 == group_norms(nn.Sequential())


@pytest.mark.parametrize("name", PENALTIES.paths)
def test_a_name_a_target_and_a_function_are_the_same(name):
    path = PENALTIES.paths[name]
    function = PENALTIES.load(name, "penalty")
    expected = 0.5 * function(network())
    for penalty in (name, {"_target_": path.replace(":", ".")}, function):
        step = Prune(penalty=penalty, penalty_strength=0.5)
        assert step.penalty(network()) == expected


def test_own_penalties():
    for penalty, value in [
        (squares, 125.0),
        ({"_target_": f"{__name__}.squares"}, 125.0),
        (Scaled(2), 250.0),
        ({"_target_": f"{__name__}.Scaled", "factor": 0.2}, 25.0),
    ]:
        step = Prune(penalty=penalty, penalty_strength=0.1)
        assert step.penalty(network()).item() == pytest.approx(0.1 * value)
    assert Prune().penalty(network()) is None


@pytest.mark.parametrize(
    ("penalty", "sentence"),
    [
        ("l1", "prune.penalty=l1 does not exist; there are bn_scale, group_norm, or"),
        (3, "prune.penalty: builtins.int is no penalty: it has no __call__"),
        ({"_target_": "math.pi"}, "prune.penalty: builtins.float is no penalty"),
        ({"_target_": f"{__name__}.Scaled"}, "Scaled cannot be built: .*factor"),
        ({"_target_": f"{__name__}.gone"}, "gone cannot be built"),
    ],
)
def test_what_is_no_penalty_is_refused_when_the_step_is_built(penalty, sentence):
    with pytest.raises(CompressionError, match=sentence):
        Prune(penalty=penalty)


@pytest.mark.parametrize(
    ("penalty", "sentence"),
    [
        (lambda network: network[1].weight, r"<lambda> must return one number as a .* shape \[3\]"),
        (lambda network: 1.0, "must return one number as a tensor, not float"),
    ],
)
def test_a_penalty_is_one_number(penalty, sentence):
    with pytest.raises(CompressionError, match=sentence):
        Prune(penalty=penalty).penalty(network())
