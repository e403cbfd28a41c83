"""Layers that make their weight of other tensors: what they use, and products in their place."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from compression import compress
from compression.factorization.computed_weight import layer_weight
from compression.factorization.svd import SVD
from compression.factorization.tucker import Tucker


class Scaled(nn.Conv2d):
    """Standardized by rows and scaled, as the convolutions of NFNets."""

    def __init__(self, *args, **settings):
        super().__init__(*args, **settings)
        self.gain = nn.Parameter(torch.rand(self.out_channels, 1, 1, 1) + 0.5)

    def standardized(self):
        rows = self.weight.reshape(1, self.out_channels, -1)
        gain = self.gain.view(-1)
        return F.batch_norm(rows, None, None, weight=gain, training=True).view_as(self.weight)

    def forward(self, x):
        return self._conv_forward(x, self.standardized(), self.bias)


class Masked(nn.Linear):
    def forward(self, x):
        return F.linear(x, weight=self.weight.tril(), bias=self.bias)


class Doubled(nn.Conv2d):
    def forward(self, x):
        return 2 * super().forward(x)


class Padded(nn.Conv2d):
    def forward(self, x):
        return super().forward(F.pad(x, (1, 1, 1, 1)))


class Twice(nn.Conv2d):
    def forward(self, x):
        return super().forward(super().forward(x))


class ByInput(nn.Conv2d):
    def forward(self, x):
        return self._conv_forward(x, self.weight * x.mean().sigmoid(), self.bias)


class OtherBias(nn.Linear):
    def forward(self, x):
        return F.linear(x, self.weight, 2 * self.bias)


class OtherStride(nn.Conv2d):
    def forward(self, x):
        return F.conv2d(x, self.weight, self.bias, stride=2)


class Wants3d(nn.Linear):
    def forward(self, x):
        _, _, _ = x.shape
        return super().forward(x)


def test_weights_as_they_are_used():
    torch.manual_seed(0)
    conv, linear = Scaled(6, 9, (3, 1), stride=2, groups=3, dilation=2), Masked(5, 7)
    normed = parametrizations.weight_norm(nn.Conv2d(6, 4, 3))
    plain = nn.Conv2d(6, 4, 3)
    weight = conv.weight.detach().flatten(1)
    rows = (weight - weight.mean(1, keepdim=True)) / (
        weight.var(1, keepdim=True, correction=0) + 1e-5
    ).sqrt()
    expected = (rows * conv.gain.detach().flatten(1)).view_as(conv.weight)
    torch.testing.assert_close(layer_weight(conv), expected)
    assert torch.equal(layer_weight(linear), linear.weight.tril())
    torch.testing.assert_close(layer_weight(normed), normed.weight.detach())
    assert layer_weight(plain).data_ptr() == plain.weight.data_ptr()
    assert layer_weight(conv.to("meta")).is_meta
    assert not layer_weight(linear).requires_grad


@pytest.mark.parametrize(
    "layer",
    [
        Doubled(3, 3, 3), Padded(3, 3, 3), Twice(3, 3, 1), ByInput(3, 3, 3), OtherBias(3, 3),
        OtherStride(3, 3, 3), Wants3d(3, 3),
    ],
)  # fmt: skip
def test_what_is_no_plain_layer_has_none(layer):
    assert layer_weight(layer) is None


@pytest.mark.parametrize(("step", "kernel"), [(SVD, 1), (Tucker, 3)])
def test_standardized_layers_become_products(step, kernel):
    torch.manual_seed(0)
    scaled = Scaled(16, 24, kernel)
    scaled.gain.requires_grad_(False)
    network = nn.Sequential(
        nn.Conv2d(3, 16, 1), scaled, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(24, 4),
    )  # fmt: skip
    images = torch.rand(2, 3, 8, 8)
    exclude = ["0", "5"] if step is SVD else []
    smaller, recipe = compress(network, [step(ratio=0.5, exclude=exclude)], sample=images)
    assert list(recipe.entries[0].plan["layers"]) == ["1"]
    full = recipe.entries[0].plan["layers"]["1"]["channels"]
    plan = {"layers": {"1": {"rank": full, "channels": full}}, "skipped": {}}
    same = step().apply(network, plan)
    torch.testing.assert_close(same(images), network(images), rtol=1e-4, atol=1e-5)
    assert all(p.requires_grad for p in smaller[1].parameters())
    assert {type(layer) for layer in smaller[1]} == {nn.Conv2d}
