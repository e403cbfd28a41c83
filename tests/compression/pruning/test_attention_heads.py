"""Which rows are of which head, and the numbers that modules keep of their heads."""

import pytest
import timm
import torch
from torch import nn

from compression.pruning.attention_heads import attention_modules, head_rows, tell_heads


class Attention(nn.Module):
    def __init__(self, heads=3, width=2, **layers):
        super().__init__()
        self.num_heads, self.head_dim, self.attn_dim = heads, width, heads * width
        for name, layer in layers.items():
            setattr(self, name, layer)


THREE = [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ({"qkv": nn.Linear(5, 18)}, {"qkv.weight": 3 * THREE}),
        ({"qkv": nn.Conv2d(5, 18, 1)}, {"qkv.weight": 3 * THREE}),
        (
            {"q": nn.Linear(5, 6), "kv": nn.Linear(5, 12)},
            {"q.weight": THREE, "kv.weight": 2 * THREE},
        ),
        (
            {f"{n}_proj": nn.Linear(5, 6) for n in "qkv"},
            {f"{n}_proj.weight": THREE for n in "qkv"},
        ),
        ({"q": nn.Linear(5, 6), "kv": nn.Linear(5, 4)}, {}),  # keys shared by all heads
        ({"qkv": nn.Linear(5, 20)}, {}),
        ({"inner": nn.Linear(5, 18)}, {}),
    ],
)
def test_rows_of_heads(layers, expected):
    found = head_rows(Attention(**layers))
    assert {name: rows.tolist() for name, rows in found.items()} == expected


def test_rows_of_pytorchs_attention():
    found = head_rows(nn.MultiheadAttention(6, 3))
    assert {name: rows.tolist() for name, rows in found.items()} == {"in_proj_weight": 3 * THREE}
    assert head_rows(nn.MultiheadAttention(6, 3, kdim=2)) == {}


def test_modules_of_networks():
    assert attention_modules(timm.create_model("test_vit")) == [
        f"blocks.{n}.attn" for n in range(6)
    ]
    assert attention_modules(nn.Sequential(nn.MultiheadAttention(6, 1), nn.ReLU())) == []
    assert attention_modules(nn.Sequential(nn.MultiheadAttention(6, 2))) == ["0"]


def test_numbers_are_told():
    network = nn.Sequential(Attention(qkv=nn.Linear(5, 18)), nn.MultiheadAttention(6, 3))
    network[0].attention_dim = 5  # something else that is called so
    tell_heads(network, {"0": 2, "1": 1})
    attention = network[0]
    assert (attention.num_heads, attention.head_dim, attention.attn_dim) == (2, 2, 4)
    assert (attention.attention_dim, network[1].num_heads) == (5, 1)


def test_timms_attention_computes_with_fewer():
    attention = timm.layers.attention.Attention(12, num_heads=3).eval()
    attention.qkv, attention.proj = nn.Linear(12, 24), nn.Linear(8, 12)
    tell_heads(nn.Sequential(attention), {"0": 2})
    assert attention(torch.rand(1, 5, 12)).shape == (1, 5, 12)
