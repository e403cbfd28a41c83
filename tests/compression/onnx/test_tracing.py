"""Every odd network has a graph for any number of images, for one at a time, or a true reason."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from compression.onnx import TracingError, trace
from tests.fixtures.cases.networks import NETWORKS

IMAGES = torch.rand(2, 3, 64, 64)
NOT_FREE = {
    "LoopsOverBatch": "makes the number of images a constant (networks.py:",
    "ValueBranch": "is data-dependent: values of tensors decide",
    "DropoutInEval": "draws random numbers in eval mode by aten.dropout",
}


class OneAtATime(nn.Module):
    """Kin: the code itself takes one image only."""

    def forward(self, x):
        if x.shape[0] != 1:
            raise ValueError("give me one image.")
        return x.mean((2, 3))


class FixedReshape(nn.Module):
    """Kin: a number of images that was written into the code."""

    def forward(self, x):
        n = int(x.shape[0])
        return x.reshape(n, -1)[:, :6]


class ThreeDimensionalAttention(nn.Module):
    """Kin: attention without an axis of heads, with a mask, causal, with shared keys."""

    def forward(self, x):
        t = x.flatten(2)[..., :12]
        mask = torch.ones(3, 3, dtype=torch.bool, device=x.device).tril()
        a = F.scaled_dot_product_attention(t, t, t, attn_mask=mask, scale=0.3)
        b = F.scaled_dot_product_attention(t, t, t, is_causal=True)
        q = t.repeat(1, 2, 1)[:, :, None]
        c = F.scaled_dot_product_attention(q, t[:, :, None], t[:, :, None], enable_gqa=True)
        return a.mean(2) + b.mean(2) + c[:, :3, 0].mean(2)


class OtherDistances(nn.Module):
    """Kin: distances of other orders."""

    def forward(self, x):
        rows = x.mean(3)[..., :5]
        found = [torch.cdist(rows, rows.flip(1), p=p) for p in (0.0, 1.0, 2.0, 3.0, float("inf"))]
        return torch.stack(found).sum(0).flatten(1)


class WrapsAround(nn.Module):
    """Kin: circular padding, unlike on each side."""

    def forward(self, x):
        rows = F.pad(x.mean(3), (3, 0), mode="circular")
        return F.pad(x, pad=(1, 2, 0, 4), mode="circular").std((2, 3)) + rows.std(2)


class CountsPixels(nn.Module):
    """Kin: shapes by values, which a graph can hold."""

    def forward(self, x):
        return x[x > 0.5].mean()[None, None].expand(x.shape[0], 6)


class TakesRows(nn.Module):
    """Kin: a number that is read from values."""

    def forward(self, x):
        return x[:, :, : int(x.max() * 5)].mean((2, 3))


class Rounds(nn.Module):
    """Kin: noise that is no drop-out."""

    def forward(self, x):
        return (x + torch.randn_like(x)).mean((2, 3))


KIN = {
    OneAtATime: ("one", "images of (2, 3, 64, 64): give me one image"),
    FixedReshape: ("free", ""),
    ThreeDimensionalAttention: ("free", ""),
    OtherDistances: ("free", ""),
    WrapsAround: ("free", ""),
    CountsPixels: ("free", ""),
    TakesRows: ("none", "data-dependent"),
    Rounds: ("none", "draws random numbers in eval mode by aten.randn_like (test_tracing.py:"),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_odd_networks(name):
    network = NETWORKS[name]()
    network(IMAGES)  # what is lazy gets its shape
    reason = NOT_FREE.get(name)
    if reason is None:
        assert_same(network.eval(), batch=None)
    elif name == "LoopsOverBatch":
        assert reason in assert_same(network.eval(), batch=1).reason
    else:
        with pytest.raises(TracingError) as refused:
            trace(network.eval(), IMAGES)
        assert reason in str(refused.value)


@pytest.mark.parametrize("kind", KIN)
def test_their_kin(kind):
    batch, reason = KIN[kind]
    if batch != "none":
        assert reason in assert_same(kind().eval(), batch={"free": None, "one": 1}[batch]).reason
    else:
        with pytest.raises(TracingError) as refused:
            trace(kind().eval(), IMAGES)
        assert reason in str(refused.value)


@torch.no_grad()
def assert_same(network, *, batch):
    """The graph gives what the network gives, for other numbers of images, too."""
    traced = trace(network, IMAGES)
    assert traced.batch == batch
    generator = torch.Generator().manual_seed(1)
    for count in (1, 2, 5) if batch is None else (1,):
        images = torch.rand(count, 3, 64, 64, generator=generator)
        torch.testing.assert_close(
            traced.program.module(check_guards=False)(images),
            traced.network(images),
            rtol=1e-4,
            atol=1e-5,
        )
    return traced


def test_gradients_are_kept_where_they_are_wanted():
    class HalfFrozen(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Conv2d(3, 4, 1)

        def forward(self, x):
            with torch.no_grad():
                y = self.a(x)
            return self.a(y[:, :3]).mean((2, 3))

    def modes(program):
        return [n for n in program.graph.nodes if "set_grad" in str(n.target)]

    with torch.no_grad():
        assert not modes(trace(HalfFrozen(), IMAGES).program)
    assert modes(trace(HalfFrozen(), IMAGES).program)
