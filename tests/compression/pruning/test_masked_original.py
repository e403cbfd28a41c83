"""Pruned networks against the original with its removed channels set to 0: the bench's `masked`.

NETWORKS are the inputs that went wrong, KIN others of their kind.
"""

import pytest
import torch
from torch import nn

from compression import compress
from compression.pruning.prune import Prune
from scripts.bench.masked import enliven, masked_difference
from tests.compression.pruning.kin import KIN
from tests.fixtures.cases.networks import NETWORKS

EVERYWHERE = [(importance, seed) for importance in ("l2", "random") for seed in range(4)]

# What must stay, and why; of all others everything is cut.
LEFT = {
    "InPlaceSlice": {"stem.0": "fixed by the code of InPlaceSlice"},
    "InPlaceView": {"stem.0": "fixed by the code of InPlaceView"},
    "PlainTensorAttribute": {
        "stem.0": "its channels meet a tensor of a size of its own in PlainTensorAttribute"
    },
    "ValueBranch": {"stem.0": "its channels are mixed by a mean in ValueBranch"},
    "FiveDimensionalAttention": {
        "stem.0": "fixed by the code of FiveDimensionalAttention",
        "qkv": "fixed by the code of FiveDimensionalAttention",
    },
    "ChunkSplitUnbind": {"stem.0": "fixed by the code of ChunkSplitUnbind"},
    "Recurrent": {"stem.0": "its channels enter LSTM in lstm"},
    "Volume": {
        "stem.0": "its channels lie along more than one axis in the convolution of a",
        "a": "fixed by the code of Volume",
    },
    "MixtureOfKernels": {
        "stem.0": "its channels enter convolution in MixtureOfKernels",
        "kernels": "its channels enter convolution in MixtureOfKernels",
        "route": "its channels are compared in MixtureOfKernels",
    },
    "Distances": {"last": "its channels enter _cdist_forward in Distances"},
}
KIN_LEFT = {
    "KernelOfConstants": "its channels enter convolution in KernelOfConstants",
    "Unfolded": "its channels enter im2col in Unfolded",
    "GroupsAsAnAxis": "its channels enter a convolution with groups in GroupsAsAnAxis",
    "FixedSlice": "dealt out in numbers without a common divisor",
    "FirstChannelGates": "one channel is taken out by slice in FirstChannelGates",
    "SpatialAttention": "its channels are compared in SpatialAttention",
    "MeanGate": "its channels are mixed by a mean in MeanGate",
    "UnitLengthOfGates": "its channels are summed in UnitLengthOfGates where those left out would "
    "not be 0",
    "SumOfGates": "its channels are summed in SumOfGates where those left out would not be 0",
    "NormalizedByHand": "its channels are summed in NormalizedByHand where those left out would "
    "not be 0",
    "SoftmaxOfChannels": "its channels are compared in SoftmaxOfChannels",
    "Neighbours": "its channels are mixed by a convolution along them in window",
    "ResponseOfNeighbours": "its channels are pooled in ResponseOfNeighbours",
    "ByWidth": "its code computes with the number of its channels",
    "SumByWidth": "its code computes with the number of its channels",
    "PixelShuffled": "its channels lie along more than one axis in the convolution of last",
    "Sampled": "its channels enter grid_sampler_2d in Sampled",
    "Recurrences": "its channels enter GRU in rows",
}
WINDOWS = {
    "Conv1dNet": {"a.weight": (9,), "b.weight": (5,)},
    "DepthwiseParameter": {"kernel": (7, 7)},
    "FunctionalKernel": {"filters": (5, 5)},
    "BlurBuffer": {"blur": (3, 3)},
    "Volume": {"a.weight": (3, 3, 3)},
    "MixtureOfKernels": {"kernels": (32, 3, 3)},
}
KIN_WINDOWS = {
    "Volumes": {"volume.weight": (2, 3, 5)},
    "Signals": {"taps": (5,), "mix": (3,)},
    "Transposed": {"up.weight": (4, 4), "up1d.weight": (2,)},
    "DepthwiseTransposed": {"up.weight": (4, 4)},
    "SharedBlur": {"blur": (3, 3)},
    "GroupedFunctional": {"filters": (3, 3)},
    "GroupsAsAnAxis": {"filters": (3, 3)},
    "StandardizedByRows": {"filters": (3, 3)},
    "OwnWeightNorm": {"filters": (3, 3)},
    "MaskedKernel": {"filters": (3, 3), "mask": (3, 3)},
    "Unfolded": {"filters": (3, 3)},
    "Einsum": {"per_place": (8, 8)},
}


def pruned(make, size: int, importance: str, seed: int) -> tuple[nn.Module, dict]:
    """The smaller network and its plan; it computes what the masked original does."""
    torch.manual_seed(seed)
    # Enough images that no place of a map is 0 in all of them, as a channel is that was removed.
    network, images = make(), torch.rand(256 // size, 3, size, size)
    with torch.no_grad():
        network.eval()(images)  # lazy layers learn their sizes
    enliven(network, seed)
    step = Prune(ratio=0.5, round_to=1, importance=importance)
    smaller, recipe = compress(network, [step], sample=images, seed=seed)
    plan = recipe.entries[-1].plan
    assert masked_difference(network, smaller, plan, images) < 1e-4
    assert all("left alone" in line for line in recipe.summary()[1:])
    told = recipe.summary()
    assert len(told) == 1 + len({*plan["left"].values()})
    assert all(
        any(name in line and why in line for line in told) for name, why in plan["left"].items()
    )
    return smaller, plan


def check_network(name: str, importance: str, seed: int) -> None:
    smaller, plan = pruned(NETWORKS[name], 64, importance, seed)
    assert plan["left"] == LEFT.get(name, {})
    assert any(after < before for _, after, before in plan["layers"])
    tensors = {**dict(smaller.named_parameters()), **dict(smaller.named_buffers())}
    for tensor, window in WINDOWS.get(name, {}).items():
        assert tensors[tensor].shape[-len(window) :] == window


def check_kin(name: str, importance: str, seed: int) -> None:
    smaller, plan = pruned(KIN[name], 16, importance, seed)
    assert plan["left"].get("stem.0") == KIN_LEFT.get(name)
    assert (smaller.stem[0].out_channels < 16) == (name not in KIN_LEFT)
    assert smaller.last.out_channels < 12 == KIN[name]().last.out_channels
    tensors = {**dict(smaller.named_parameters()), **dict(smaller.named_buffers())}
    for tensor, window in KIN_WINDOWS.get(name, {}).items():
        assert tensors[tensor].shape[-len(window) :] == window


@pytest.mark.parametrize("name", NETWORKS)
def test_networks(name):
    check_network(name, "random", 0)


@pytest.mark.parametrize("name", [*KIN][::2])  # all of them below
def test_kin(name):
    check_kin(name, "random", 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_at_all_seeds(name):
    for importance, seed in EVERYWHERE:
        check_network(name, importance, seed)


@pytest.mark.slow
@pytest.mark.parametrize("name", KIN)
def test_kin_at_all_seeds(name):
    for importance, seed in EVERYWHERE:
        check_kin(name, importance, seed)


@pytest.mark.parametrize("name", ["Shift", "TwoPools"])
@pytest.mark.parametrize("seed", range(4))
def test_as_many_from_each_way(name, seed):
    """Every way loses the same ratio of its channels, whatever they score."""
    _, plan = pruned(NETWORKS[name], 64, "l2", seed)
    kept = plan["kept"][plan["axes"]["stem.0.weight"]["0"]]
    ways = [(0, 8), (8, 16), (16, 32)] if name == "Shift" else [(0, 16), (16, 32)]
    ratios = {sum(a <= i < b for i in kept) / (b - a) for a, b in ways}
    assert len(ratios) == 1 and kept == sorted(kept)


@pytest.mark.parametrize("name", ["ScaledAttention", "ScaledByHand"])
def test_what_is_scaled_by_its_width_stays(name):
    smaller, plan = pruned(KIN[name], 16, "l2", 0)
    assert plan["left"] == {"q": "its code computes with the number of its channels"}
    assert (smaller.q.out_features, smaller.k.out_features) == (16, 16)
    assert smaller.q.in_features == smaller.stem[0].out_channels < 16


def test_the_reference_sees_what_is_wrong():
    """A pruned network whose channels were exchanged is not the masked original."""
    torch.manual_seed(0)
    network, images = enliven(NETWORKS["TwoPools"]()), torch.rand(2, 3, 64, 64)
    step = Prune(ratio=0.5, round_to=1)
    smaller, recipe = compress(network, [step], sample=images)
    plan = recipe.entries[-1].plan
    assert masked_difference(network, smaller, plan, images) < 1e-4
    smaller.last.weight.data = smaller.last.weight.data.roll(1, 1)
    assert masked_difference(network, smaller, plan, images) > 1e-3
