"""Vision transformers whose attention loses whole heads."""

import copy
import json
from functools import cache

import pytest
import timm
import torch
import torchvision
from torch import nn

from compression import Context, compress
from compression.cost import count_macs
from compression.images import ImageKind
from compression.onnx import export_onnx, onnx_session
from compression.pruning import Prune
from compression.pruning.head_attention import HeadAttention
from lightning_modules.networks import load_network, save_network
from scripts.bench.masked import enliven, masked_difference

WIDTH, HEADS, HIDDEN, DEPTH, SIDE = 24, 4, 40, 2, 16
TOKENS = 5  # four patches and a class token
D = WIDTH // HEADS
IMAGES = torch.rand(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


def of_timm(depth: int = DEPTH) -> nn.Module:
    return timm.models.VisionTransformer(
        img_size=SIDE, patch_size=8, embed_dim=WIDTH, depth=depth, num_heads=HEADS,
        mlp_ratio=HIDDEN / WIDTH, num_classes=3,
    )  # fmt: skip


def of_torchvision(depth: int = DEPTH) -> nn.Module:
    return torchvision.models.VisionTransformer(
        image_size=SIDE, patch_size=8, num_layers=depth, num_heads=HEADS, hidden_dim=WIDTH,
        mlp_dim=HIDDEN, num_classes=3,
    )  # fmt: skip


# Attention modules, what makes their heads and what reads them, and all other layers.
BLOCK = "encoder.layers.encoder_layer_{}.self_attention"
NETWORKS = {
    "timm": (of_timm, "blocks.{}.attn", "qkv.weight", "proj.weight", ["patch_embed.proj", "*.fc1"]),
    "torchvision": (of_torchvision, BLOCK, "in_proj_weight", "out_proj.weight",
                    ["conv_proj", "*.mlp.0"]),
}  # fmt: skip


def network(name: str, **settings) -> nn.Module:
    """All of its parameters drawn, so that no head and no output is 0."""
    torch.manual_seed(0)
    made = enliven(NETWORKS[name][0](**settings))
    for parameter in made.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape)
    return made


@cache
def halved(name: str):
    before = network(name)
    smaller, recipe = compress(
        before, [Prune(ratio=0.5, scope="uniform", round_to=1)], sample=IMAGES
    )
    return before, smaller, recipe


def modules(name: str) -> list[str]:
    return [NETWORKS[name][1].format(n) for n in range(DEPTH)]


def macs(heads: list[int], width: int = WIDTH, hidden: int = HIDDEN) -> int:
    """By hand: patches and classifier; q, k, v, two products of tokens, the way back, MLP."""
    found = 4 * 8 * 8 * 3 * width + width * 3
    for count in heads:
        inner = count * D
        found += TOKENS * (width * 3 * inner + inner * width + 2 * width * hidden)
        found += 2 * TOKENS * TOKENS * inner
    return found


@pytest.mark.parametrize("name", NETWORKS)
def test_half_of_everything_goes(name):
    before, smaller, recipe = halved(name)
    plan = recipe.entries[0].plan
    assert plan["heads"] == {module: [2, 4] for module in modules(name)}
    assert not plan["left"]
    told = {layer: what for _, layer, what in recipe.layers()}
    for module in modules(name):
        attention = smaller.get_submodule(module)
        assert (attention.num_heads, attention.head_dim) == (2, D)
        layer = module if name == "torchvision" else f"{module}.qkv"
        assert [layer, 3 * WIDTH // 2, 3 * WIDTH] in plan["layers"]
        assert told[layer] == "kept 2 of 4 heads (l2, uniform: 0.5 of the channels)"
    kept = (DEPTH * (3 * WIDTH + HIDDEN) + WIDTH) // 2
    assert recipe.summary() == [
        f"prune: kept {kept} of {2 * kept} channels and 4 of 8 heads, 5 layers cut "
        "(l2, uniform: 0.5 of the channels)"
    ]
    assert masked_difference(before, smaller, plan, IMAGES) < 1e-5
    assert not torch.allclose(before(IMAGES), smaller(IMAGES), rtol=1e-2)
    assert count_macs(before, SIDE) == macs([4, 4])
    assert count_macs(smaller, SIDE) == macs([2, 2], WIDTH // 2, HIDDEN // 2)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_heads_with_the_largest_weights_stay(name):
    """Whole ones, alike in q, k and v; a head is worth the sum over its channels."""
    before, smaller, recipe = halved(name)
    plan = recipe.entries[0].plan
    _, _, maker, reader, _ = NETWORKS[name]
    for module in modules(name):
        attention = before.get_submodule(module)
        weights = [attention.get_parameter(tensor).detach() for tensor in (maker, reader)]
        rows = weights[0].reshape(3, HEADS, D, WIDTH).square()
        columns = weights[1].reshape(WIDTH, HEADS, D).square()
        best = (rows.sum((0, 2, 3)) + columns.sum((0, 2))).topk(2).indices.sort().values
        channels = (best[:, None] * D + torch.arange(D)).flatten()
        everywhere = torch.cat([channels, channels + WIDTH, channels + 2 * WIDTH])
        bias = maker.replace("weight", "bias")
        expected = attention.get_parameter(bias)[everywhere]
        assert torch.equal(smaller.get_submodule(module).get_parameter(bias), expected)
        assert plan["kept"][plan["axes"][f"{module}.{reader}"]["1"]] == channels.tolist()
        step = Prune(ratio=0.5)
        moment = step.prune_optimizer_state(plan, f"{module}.{bias}", attention.get_parameter(bias))
        assert torch.equal(moment, expected)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(
    ("goal", "heads"),
    [
        pytest.param(0.9, [3, 3], marks=pytest.mark.slow),
        pytest.param(0.8, [2, 2], marks=pytest.mark.slow),
        (0.7, [1, 1]),
    ],
)
def test_heads_go_while_the_width_stays(name, goal, heads):
    """Down to one; the cost that is promised counts the products of tokens with each other."""
    before = network(name)
    step = Prune(target={"macs": goal}, exclude=NETWORKS[name][4], scope="uniform")
    smaller, recipe = compress(before, [step], sample=IMAGES)
    plan = recipe.entries[0].plan
    assert [plan["heads"][module][0] for module in modules(name)] == heads
    assert f"{macs(heads) / macs([4, 4]):.1%} of the MACs" in recipe.summary()[0]
    assert count_macs(smaller, SIDE) == macs(heads)
    weight = smaller.get_submodule(modules(name)[0]).get_parameter(NETWORKS[name][2])
    assert weight.shape == (3 * heads[0] * D, WIDTH)
    assert masked_difference(before, smaller, plan, IMAGES) < 1e-5


@pytest.mark.parametrize("name", NETWORKS)
def test_a_plan_replays_without_values(name):
    before, smaller, recipe = halved(name)
    plan = json.loads(json.dumps(recipe.entries[0].plan))
    bare = Prune.restructure(copy.deepcopy(before).to("meta"), plan)
    shapes = {key: value.shape for key, value in smaller.state_dict().items()}
    assert {key: value.shape for key, value in bare.state_dict().items()} == shapes
    again = Prune.restructure(network(name), plan)
    again.load_state_dict(smaller.state_dict())
    assert torch.equal(again.eval()(IMAGES), smaller(IMAGES))
    again.train()(IMAGES).sum().backward()
    assert all(parameter.grad is not None for parameter in again.parameters())
    kinds = {type(before.get_submodule(module)) for module in modules(name)}
    assert HeadAttention not in kinds  # what entered stays as it was


@pytest.mark.parametrize("name", NETWORKS)
def test_pruned_heads_are_pruned_again(name):
    _, once, _ = halved(name)
    step = Prune(ratio=0.5, scope="uniform", round_to=1, exclude=NETWORKS[name][4])
    twice, recipe = compress(once, [step], sample=IMAGES)
    plan = recipe.entries[0].plan
    assert plan["heads"] == {module: [1, 2] for module in modules(name)}
    assert masked_difference(once, twice, plan, IMAGES) < 1e-5


def test_heads_are_treated_one_layer_at_a_time():
    before = network("torchvision")
    context = Context(sample=IMAGES, image_size=(SIDE, SIDE))
    treatments = Prune(ratio=0.5).treatments(before, context, (0.25, 0.5, 0.75))
    found = {(t.layer, t.what): t for t in treatments if t.layer in modules("torchvision")}
    assert [*found] == [
        (module, f"{heads} of 4 heads by l2")
        for module in modules("torchvision")
        for heads in (1, 2, 3)
    ]
    for (layer, _), treatment in found.items():
        plan = treatment.plan()
        assert plan["heads"] == {layer: [round(4 * treatment.kept), 4]}
        assert type(before.get_submodule(layer)) is nn.MultiheadAttention


def test_only_what_is_cut_is_replaced():
    """The plan of a network whose attention stays says nothing of it."""
    before = network("torchvision")
    exclude = ["conv_proj", "*.self_attention"]
    smaller, recipe = compress(before, [Prune(ratio=0.5, exclude=exclude)], sample=IMAGES)
    assert "heads" not in recipe.entries[0].plan
    assert type(smaller.get_submodule(modules("torchvision")[0])) is nn.MultiheadAttention
    _, recipe = compress(before, [Prune(ratio=0.5, exclude=exclude[1:])], sample=IMAGES)
    assert recipe.entries[0].plan["heads"] == {m: [4, 4] for m in modules("torchvision")}
    assert " heads" not in recipe.summary()[0]


@pytest.mark.parametrize(
    ("option", "settings", "size"),
    [
        ("timm", {"name": "test_vit", "depth": 2, "img_size": 32, "patch_size": 16}, 32),
        ("custom", {"_target_": "torchvision.models.VisionTransformer", "patch_size": 8,
                    "num_layers": 2, "num_heads": 4, "hidden_dim": 24, "mlp_dim": 40}, 16),
        pytest.param("timm", {"name": "test_vit_relpos", "img_size": 32}, 32,
                     marks=pytest.mark.slow),
        pytest.param("custom", {"_target_": "torchvision.models.SwinTransformer",
                                "patch_size": [2, 2], "embed_dim": 24, "depths": [2],
                                "num_heads": [4], "window_size": [3, 3]}, 16,
                     marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_a_pruned_transformer_is_saved_and_reloaded(built, tmp_path, option, settings, size):
    whole, images = built(option, size, **settings)
    for parameter in whole.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape)
    step = Prune(ratio=0.5, scope="isomorphic", round_to=1)
    smaller, recipe = compress(whole, [step], sample=images)
    assert all(left < before for left, before in recipe.entries[0].plan["heads"].values())
    save_network(smaller, tmp_path)
    assert torch.equal(load_network(tmp_path, trust=["torchvision"])(images), smaller(images))


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_a_pruned_transformer_is_exported(name, tmp_path):
    _, smaller, _ = halved(name)
    path = export_onnx(smaller, tmp_path / "a.onnx", SIDE, images=ImageKind.of(IMAGES))
    session = onnx_session(str(path))
    feed = {session.get_inputs()[0].name: IMAGES.numpy()}
    found = torch.from_numpy(session.run(None, feed)[0])
    torch.testing.assert_close(found, smaller(IMAGES), atol=1e-5, rtol=1e-4)


class OwnWindows(torchvision.models.swin_transformer.ShiftedWindowAttention):
    """Whose code nobody knows."""


def test_windows_that_are_not_known_are_left_alone_and_said():
    swin = torchvision.models.SwinTransformer(
        patch_size=[4, 4], embed_dim=24, depths=[1, 1], num_heads=[2, 4], window_size=[2, 2],
        num_classes=3,
    ).eval()  # fmt: skip
    for stage in (1, 3):
        swin.features[stage][0].attn.__class__ = OwnWindows
    smaller, recipe = compress(swin, [Prune(ratio=0.5)], sample=IMAGES)
    why = "left alone: fixed by the code of OwnWindows"
    told = {layer: what for _, layer, what in recipe.layers()}
    assert told["features.1.0.attn.qkv"] == told["features.3.0.attn.qkv"] == why
    assert smaller.features[1][0].attn.num_heads == 2


class Masked(nn.Module):
    """Attention of a user's own that adds something to the scores of each head."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.num_heads, self.head_dim = kind, HEADS, D
        self.qkv, self.proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        slopes = torch.arange(1.0, HEADS + 1)
        self.register_buffer("mask", torch.randn(1, HEADS, 1, 4) if kind == "mask" else None)
        self.register_parameter("slopes", nn.Parameter(slopes) if kind == "slopes" else None)

    def forward(self, x):
        count, tokens, _ = x.shape
        q, k, v = self.qkv(x).reshape(count, tokens, 3, -1, self.head_dim).permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-2, -1)
        if self.mask is not None:
            scores = scores + self.mask
        else:
            slopes = torch.arange(1, self.num_heads + 1) if self.slopes is None else self.slopes
            scores = scores - slopes.to(x)[:, None, None] * torch.arange(tokens).to(x)
        return self.proj((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


class Given(nn.Module):
    """PyTorch's attention, called with a mask of each head."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        self.register_buffer("mask", torch.randn(HEADS, 4, 4))

    def forward(self, x):
        return self.inner(x, x, x, attn_mask=self.mask.repeat(len(x), 1, 1))[0]


class Tokens(nn.Module):
    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.patch, self.attention = nn.Conv2d(3, WIDTH, 8, 8), attention
        self.head = nn.Linear(WIDTH, 3)

    def forward(self, images):
        x = self.patch(images).flatten(2).transpose(1, 2)
        return self.head((x + self.attention(x)).mean(1))


@pytest.mark.parametrize("kind", ["mask", "slopes", "computed", "given"])
def test_what_each_head_is_given_goes_with_it_or_the_heads_stay(kind):
    torch.manual_seed(0)
    before = Tokens(Given() if kind == "given" else Masked(kind)).eval()
    smaller, recipe = compress(before, [Prune(ratio=0.5, round_to=1)], sample=IMAGES)
    plan = recipe.entries[0].plan
    assert masked_difference(before, smaller, plan, IMAGES) < 1e-5
    if kind == "computed":  # from the number of heads, whichever these are
        assert "heads" not in plan
        assert plan["left"] == {"attention.qkv": "fixed by the code of Masked"}
        return
    name = {"given": "attention.inner"}.get(kind, "attention")
    assert plan["heads"] == {name: [2, HEADS]}
    tensor, axis = {"slopes": ("slopes", "0"), "mask": ("mask", "1")}.get(kind, ("mask", "0"))
    kept = plan["kept"][plan["axes"][f"attention.{tensor}"][axis]]
    (maker,) = (n for n in plan["axes"] if n in (f"{name}.qkv.weight", f"{name}.in_proj_weight"))
    rows = plan["kept"][plan["axes"][maker]["0"]]
    assert [row // D for row in rows[: 2 * D : D]] == kept
