"""Attention of timm and torchvision whose code ties heads to its width, and loses whole ones."""

import copy
import json

import pytest
import timm
import torch
import torchvision
from torch import nn
from torchvision.models import swin_transformer as swin

from compression import compress
from compression.cost import count_macs
from compression.images import ImageKind
from compression.onnx import export_onnx
from compression.pruning import Prune
from compression.pruning.attention_heads import attention_modules
from compression.pruning.head_attention import with_head_attention
from compression.pruning.head_replacements import head_width
from scripts.bench.masked import enliven, masked_difference

SIDE, WIDTH, HEADS = 16, 24, 4
IMAGES = torch.rand(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


def of_timm(kind: str, **settings) -> nn.Module:
    return timm.models.vision_transformer_relpos.VisionTransformerRelPos(
        img_size=SIDE, patch_size=8, embed_dim=WIDTH, depth=1, num_heads=HEADS, mlp_ratio=2,
        num_classes=3, rel_pos_type=kind, **settings,
    )  # fmt: skip


def of_torchvision(window: int, **settings) -> nn.Module:
    """Maps of 8 x 8: windows of 3 x 3 are padded, those of 8 x 8 are not shifted."""
    return torchvision.models.SwinTransformer(
        patch_size=[2, 2], embed_dim=WIDTH, depths=[2], num_heads=[HEADS],
        window_size=[window, window], mlp_ratio=2, num_classes=3, **settings,
    )  # fmt: skip


def of_twins() -> nn.Module:
    """Maps of 4 x 4, in windows of 3 x 3 and then, for keys, of every second place."""
    return timm.models.twins.Twins(
        img_size=SIDE, patch_size=4, embed_dims=(WIDTH,), num_heads=(HEADS,), mlp_ratios=(2,),
        depths=(2,), sr_ratios=(2,), wss=(3,), num_classes=3,
    )  # fmt: skip


NETWORKS = {
    "bias": lambda: of_timm("bias"),
    "mlp": lambda: of_timm("mlp", class_token=True, global_pool="token"),
    "normalized": lambda: of_timm("bias", qk_norm=True),
    "windows": lambda: of_torchvision(3),
    "one window": lambda: of_torchvision(8),
    "twins": of_twins,
    "second version": lambda: of_torchvision(
        3, block=swin.SwinTransformerBlockV2, downsample_layer=swin.PatchMergingV2
    ),
}


def network(name: str) -> nn.Module:
    """All of its parameters drawn, so that no head and no bias is 0."""
    torch.manual_seed(0)
    made = enliven(NETWORKS[name]())
    for parameter in made.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape)
    return made


@pytest.mark.parametrize("name", NETWORKS)
def test_before_cutting_it_is_what_it_stands_for(name):
    before = network(name)
    names = attention_modules(before)
    after = with_head_attention(before, names)
    for attention in names:
        one, other = (n.get_submodule(attention) for n in (before, after))
        assert type(one) is not type(other) and other.head_dim == head_width(one) == WIDTH // HEADS
    with torch.no_grad():
        torch.testing.assert_close(after(IMAGES), before(IMAGES))


@pytest.mark.parametrize(
    "name", ["bias", "windows", *(pytest.param(n, marks=pytest.mark.slow) for n in NETWORKS)]
)
def test_half_of_the_heads_go(name):
    before = network(name)
    step = Prune(ratio=0.5, scope="uniform", round_to=1)
    smaller, recipe = compress(before, [step], sample=IMAGES)
    plan = json.loads(json.dumps(recipe.entries[0].plan))
    names = attention_modules(before)
    assert plan["heads"] == {attention: [2, HEADS] for attention in names}
    assert smaller.get_submodule(names[0]).qkv.weight.shape == (3 * WIDTH // 2, WIDTH // 2)
    assert masked_difference(before, smaller, plan, IMAGES) < 1e-5
    bare = Prune.restructure(copy.deepcopy(before).to("meta"), plan)
    shapes = {key: value.shape for key, value in smaller.state_dict().items()}
    assert {key: value.shape for key, value in bare.state_dict().items()} == shapes
    again = Prune.restructure(network(name), plan)
    again.load_state_dict(smaller.state_dict())
    with torch.no_grad():
        assert torch.equal(again.eval()(IMAGES), smaller(IMAGES))


def test_all_heads_may_stay_where_the_width_goes():
    """The module is replaced then, too: its result would have to be as wide as the tokens."""
    before = network("windows")
    step = Prune(target={"macs": 0.9}, exclude=["*.qkv", "*.mlp.0"], scope="uniform", round_to=1)
    smaller, recipe = compress(before, [step], sample=IMAGES)
    plan = recipe.entries[0].plan
    assert plan["heads"] == {n: [HEADS, HEADS] for n in attention_modules(before)}
    assert masked_difference(before, smaller, plan, IMAGES) < 1e-5
    assert count_macs(smaller, SIDE) <= 0.92 * count_macs(before, SIDE)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mlp", "windows", "second version", "twins"])
def test_pruned_again_and_exported(name, tmp_path):
    step = Prune(ratio=0.5, scope="uniform", round_to=1)
    once, _ = compress(network(name), [step], sample=IMAGES)
    twice, recipe = compress(once, [step], sample=IMAGES)
    plan = recipe.entries[0].plan
    assert {*map(tuple, plan["heads"].values())} == {(1, 2)}
    assert masked_difference(once, twice, plan, IMAGES) < 1e-5
    # Which compares what the file answers with what the network does.
    assert export_onnx(twice, tmp_path / "a.onnx", SIDE, images=ImageKind.of(IMAGES)).exists()
