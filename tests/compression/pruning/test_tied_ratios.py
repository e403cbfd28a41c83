"""Groups that a network's code computes from each other's width are cut by one ratio."""

import pytest
import torch
from torch import nn

from compression import compress
from compression.pruning import Prune
from compression.pruning.tied_ratios import tied_ratios
from scripts.bench.masked import enliven, masked_difference


class Attention(nn.Module):
    """Splits its queries by the width of what enters, as GPSA, and scales by one written down."""

    def __init__(self, width, heads=2):
        super().__init__()
        self.heads, self.scale = heads, (width // heads) ** -0.5
        self.qk, self.v = nn.Linear(width, 2 * width), nn.Linear(width, width)
        self.proj, self.where = nn.Linear(width, width), nn.Linear(2, heads)
        self.register_buffer("places", torch.zeros(1, 1, 1, 2), persistent=False)

    def forward(self, x):
        b, n, c = x.shape
        if self.places.shape[1] != n:  # stored in the first pass
            line = torch.arange(n, dtype=x.dtype, device=x.device)
            self.places = torch.stack([line[:, None] - line, (line[:, None] - line).abs()], -1)[
                None
            ]
        q, k = self.qk(x).reshape(b, n, 2, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        v = self.v(x).reshape(b, n, self.heads, c // self.heads).transpose(1, 2)
        scores = q @ k.transpose(2, 3) * self.scale + self.where(self.places).permute(0, 3, 1, 2)
        return self.proj((scores.softmax(-1) @ v).transpose(1, 2).reshape(b, n, c))


class Mlp(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.a, self.b = nn.Linear(width, 24), nn.Linear(24, width)

    def forward(self, x):
        return self.b(self.a(x).relu())


class Tokens(nn.Module):
    """N x 3 x 4 x 4 -> N x 5: two blocks of attention and a hidden layer."""

    def __init__(self, width=16, attention=Attention):
        super().__init__()
        self.embed = nn.Conv2d(3, width, 1)
        self.blocks = nn.ModuleList(nn.ModuleList([attention(width), Mlp(width)]) for _ in range(2))
        self.head = nn.Linear(width, 5)

    def forward(self, x):
        x = self.embed(x).flatten(2).transpose(1, 2)
        for attention, mlp in self.blocks:
            x = x + attention(x)
            x = x + mlp(x)
        return self.head(x.mean(1))


class ByWidth(Attention):
    """Scales by the width that there is: another factor after cutting."""

    def forward(self, x):
        self.scale = (x.shape[-1] // self.heads) ** -0.5
        return super().forward(x)


def pruned(network, **settings):
    images = torch.rand(2, 3, 4, 4)
    step = Prune(**{"ratio": 0.5, "round_to": 1, "scope": "uniform", **settings})
    smaller, recipe = compress(network, [step], sample=images)
    plan = recipe.entries[0].plan
    assert masked_difference(network, smaller, plan, images) < 1e-5
    return smaller, plan


@pytest.mark.parametrize("importance", ["l2", "random"])
def test_what_is_computed_from_a_width_is_cut_with_it(importance):
    torch.manual_seed(0)
    smaller, plan = pruned(enliven(Tokens()), importance=importance)
    assert smaller.embed.out_channels == 8
    for attention, mlp in smaller.blocks:
        assert attention.qk.weight.shape == (16, 8)
        assert attention.v.weight.shape == attention.proj.weight.shape == (8, 8)
        assert attention.where.weight.shape == (2, 2)
        assert mlp.a.weight.shape == (12, 8)
    names = [name for name, *_ in plan["layers"]]
    assert names == ["embed", "blocks.0.1.a", "blocks.1.1.a"]  # hidden layers are free


def test_ratios_of_hidden_layers_are_their_own():
    torch.manual_seed(1)
    smaller, plan = pruned(
        enliven(Tokens()), exclude=["embed"], ratio=None, target={"macs": 0.8}, scope="global"
    )
    assert smaller.embed.out_channels == 16
    assert {*plan["left"].values()} >= {"excluded"}
    assert smaller.blocks[0][1].a.out_features < 24


def test_a_tie_that_changes_what_is_computed_is_given_up():
    torch.manual_seed(0)
    smaller, plan = pruned(enliven(Tokens(attention=ByWidth)))
    assert smaller.embed.out_channels == 16
    assert smaller.blocks[0][1].a.out_features == 12
    assert plan["left"]["embed"] == "fixed by the code of ByWidth"


def test_groups_four_apart_are_not_taken_for_free_as_they_are_tried_at_one_ratio():
    torch.manual_seed(0)
    network = Tokens()
    hidden = [nn.ModuleList([nn.Identity(), Mlp(16)]) for _ in range(3)]
    network.blocks = nn.ModuleList([*hidden, nn.ModuleList([Attention(16), Mlp(16)])])
    smaller, plan = pruned(enliven(network))
    assert smaller.blocks[3][0].qk.weight.shape == (16, 8)
    assert [name for name, *_ in plan["layers"]] == [
        "embed",
        *(f"blocks.{number}.1.a" for number in range(4)),
    ]


def test_one_group_is_tied_to_none():
    assert tied_ratios(None, [3], "", {3: 1}) == []
