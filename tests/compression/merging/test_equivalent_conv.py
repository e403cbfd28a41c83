"""The kernel and bias of sums of convolutions, against the sums and against impulses."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from compression.merging.branches import merged_branches
from compression.merging.equivalent_conv import NotAConvolutionError
from compression.merging.traced_conv import TracedConv
from tests.compression.merging.blocks import Branches, Costlier, InPlace, TwoHeads, settle


def read_off(module, channels, size):
    """A second computation: the answer to zeros, and to an impulse of each channel."""
    middle = size // 2
    images = torch.zeros(channels + 1, channels, size, size, dtype=torch.float64)
    images[range(1, channels + 1), range(channels), middle, middle] = 1
    with torch.no_grad():
        answers = module(images)
    return answers[1:] - answers[0], answers[0, :, 0, 0]


@settings(max_examples=25, deadline=None)
@given(
    kernels=st.lists(st.sampled_from([1, 3, 5, 7]), min_size=2, max_size=4),
    groups=st.sampled_from([1, 2, 4]),
    widths=st.sampled_from([(4, 4), (4, 8), (8, 4)]),
    stride=st.sampled_from([1, 2, 3]),
    dilation=st.sampled_from([1, 2]),
    sides=st.tuples(st.integers(7, 12), st.integers(7, 12)),
    seed=st.integers(0, 9),
)
def test_random_branches(kernels, groups, widths, stride, dilation, sides, seed):
    torch.manual_seed(seed)
    options = {"stride": stride, "groups": groups, "dilation": dilation}
    block = settle(Branches(*widths, kernels, **options), seed).double()
    merged = merged_branches(block, widths[0], flat=False)
    assert merged.then == ("act",)
    conv = merged.conv
    assert conv.branches == len(kernels) + (widths[0] == widths[1] and stride == 1)
    assert conv.groups == groups and conv.stride == (stride, stride)
    images = torch.randn(2, widths[0], *sides, dtype=torch.float64)
    weights = (conv.kernel, conv.bias, conv.stride, conv.padding, conv.dilation, conv.groups)
    with torch.no_grad():
        assert torch.allclose(nn.functional.conv2d(images, *weights).relu(), block(images))


@pytest.mark.parametrize("dilation", [1, 2])
def test_what_impulses_say(dilation):
    torch.manual_seed(1)
    block = settle(Branches(4, 4, (5, 3, 1), groups=2, dilation=dilation, act=False)).double()
    conv = merged_branches(block, 4, flat=False).conv
    size = 4 * dilation + 1
    answers, bias = read_off(block, 4, size)  # I x O x size x size
    kernel = answers.transpose(0, 1).flip(-1, -2)[..., ::dilation, ::dilation]
    dense = torch.zeros(4, 4, 5, 5, dtype=torch.float64)
    for group in (slice(0, 2), slice(2, 4)):
        dense[group, group] = conv.kernel[group]
    assert conv.kernel.shape == (4, 2, 5, 5) and conv.dilation == (dilation, dilation)
    assert torch.allclose(kernel, dense) and torch.allclose(bias, conv.bias)


def test_sums_in_place_and_scales():
    block = InPlace(6).double()
    conv = merged_branches(block, 6, flat=False).conv
    images = torch.randn(2, 6, 5, 5, dtype=torch.float64)
    with torch.no_grad():
        found = nn.functional.conv2d(images, conv.kernel, conv.bias, padding=1)
        assert torch.allclose(found, block(images))


class Subsampled(nn.Module):
    def __init__(self):
        super().__init__()
        self.window, self.pointwise = nn.Conv2d(4, 6, 3, (2, 3), 1), nn.Conv2d(4, 6, 1)

    def forward(self, x):
        return self.window(x) + self.pointwise(x[..., ::2, :][:, :, :, ::3])


def test_a_stride_by_slicing():
    block = Subsampled().double()
    conv = merged_branches(block, 4, flat=False).conv
    images = torch.randn(2, 4, 7, 8, dtype=torch.float64)
    with torch.no_grad():
        found = nn.functional.conv2d(images, conv.kernel, conv.bias, conv.stride, conv.padding)
        assert torch.allclose(found, block(images))


def test_heads_of_features():
    block = settle(TwoHeads(6, 3)).double()
    merged = merged_branches(block, 6, flat=True)
    rows = torch.randn(4, 6, dtype=torch.float64)
    kernel = merged.conv.kernel[:, :, 0, 0]
    with torch.no_grad():
        assert torch.allclose(rows @ kernel.T + merged.conv.bias, block(rows))


def test_pointwise_after_grouped():
    torch.manual_seed(0)
    chain = nn.Sequential(nn.Conv2d(8, 4, 3, 2, 1, groups=2), nn.Conv2d(4, 6, 1, groups=2)).double()
    start = TracedConv.of_input(8, flat=False, device=torch.device("cpu"), dtype=torch.float64)
    with torch.no_grad():
        conv = chain(start)
        images = torch.randn(1, 8, 7, 7, dtype=torch.float64)
        weights = conv.kernel, conv.bias, conv.stride, conv.padding, conv.dilation, conv.groups
        assert conv.kernel.shape == (6, 4, 3, 3)
        assert torch.allclose(nn.functional.conv2d(images, *weights), chain(images))


def test_a_window_after_a_pointwise():
    torch.manual_seed(0)
    first = nn.Conv2d(4, 6, 1, groups=2, bias=False)
    for chain in (
        nn.Sequential(first, nn.Conv2d(6, 6, 3, 2, 1)).double(),
        nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3, dilation=2)).double().eval(),
    ):
        start = TracedConv.of_input(4, flat=False, device=torch.device("cpu"), dtype=torch.float64)
        with torch.no_grad():
            conv = chain(start)
            images = torch.randn(1, 4, 7, 7, dtype=torch.float64)
            weights = conv.kernel, conv.bias, conv.stride, conv.padding, conv.dilation, conv.groups
            assert torch.allclose(nn.functional.conv2d(images, *weights), chain(images))


def test_macs_of_branches():
    conv = merged_branches(Costlier(8), 8, flat=False).conv
    assert sorted(layer.macs for layer in conv.layers) == [8 * 8, 8 * 9]
    assert conv.kernel.shape == (8, 8, 3, 3) and conv.is_costlier
    shared = merged_branches(InPlace(6), 6, flat=False).conv
    assert [layer.macs for layer in shared.layers] == [6 * 6 * 9] and not shared.is_costlier


class Lambda(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function
        self.a, self.b = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 2, padding=1)
        self.same = nn.Conv2d(4, 4, 4, padding="same")
        self.norm = nn.BatchNorm2d(4, track_running_stats=False)

    def forward(self, x):
        return self.function(self, x)


REFUSED = {
    "a map of another size": lambda self, x: self.a(x) + self.b(x),
    "another stride": lambda self, x: self.a(x) + self.a(x)[..., ::2],
    "some channels": lambda self, x: x[:, :2] + x[:, 2:],
    "some rows": lambda self, x: self.a(x)[..., 1:, :] + x[..., 1:, :],
    "a product": lambda self, x: self.a(x) * x,
    "of another number": lambda self, x: 1 / (self.a(x) + x),
    "statistics of the batch": lambda self, x: self.norm(x) + x,
    "one-sided padding": lambda self, x: self.same(x) + x,
    "a position": lambda self, x: self.a(x) + x + torch.ones(1, 4, 5, 5),
    "a mean": lambda self, x: (self.a(x) + x).mean((2, 3)),
    "a value": lambda self, x: self.a(x) if x.sum() > 0 else x,
    "nothing": lambda self, x: None,
    "a window of a sum": lambda self, x: nn.functional.conv2d(self.a(x) + x, self.a.weight),
    "a bias beside the padding": lambda self, x: (
        nn.functional.conv2d(x + 1, self.a.weight, None, 1, 1) + x
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_convolution(what):
    with pytest.raises(NotAConvolutionError):
        merged_branches(Lambda(REFUSED[what]).eval(), 4, flat=False)


def test_the_module_stays_as_it_is():
    block = settle(Branches(4, 4))
    before, forward = dict(block.state_dict()), [vars(m).keys() for m in block.modules()]
    merged_branches(block, 4, flat=False)
    assert [vars(m).keys() for m in block.modules()] == forward
    assert all(torch.equal(before[name], value) for name, value in block.state_dict().items())
