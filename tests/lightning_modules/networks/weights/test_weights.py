"""Weights as they come: how files nest, name and size their tensors, each with what is right."""

import argparse
from collections import OrderedDict

import pytest
import torch
from pytorch_lightning.utilities.parsing import AttributeDict
from safetensors.torch import save_file
from timm.layers import resample_abs_pos_embed
from torch import nn
from torchvision.models.vision_transformer import VisionTransformer

from lightning_modules.errors import ConfigError
from lightning_modules.networks import build_network
from lightning_modules.networks.network import Network, Pixels
from lightning_modules.networks.weights import load_weights, read_state


class Small(nn.Module):
    """Stem, block, head."""

    def __init__(self, classes=3, *, backbone=False, inner=8):
        super().__init__()
        body = nn.Sequential(
            OrderedDict(
                conv=nn.Conv2d(3, inner, 3),
                norm=nn.BatchNorm2d(inner),
                act=nn.ReLU(),
                mix=nn.Conv2d(inner, inner, 1),
            )
        )
        if backbone:
            self.backbone = body
        else:
            self.conv, self.norm, self.mix = body.conv, body.norm, body.mix
        self.fc = nn.Linear(inner, classes)
        self.wrapped = backbone

    def forward(self, x):
        if self.wrapped:
            return self.fc(self.backbone(x).mean((2, 3)))
        return self.fc(self.mix(self.norm(self.conv(x)).relu()).mean((2, 3)))


def network(body=None, classes=3):
    body = body or Small(classes)
    return Network(pixels=Pixels(), body=body, num_classes=classes, image_size=(16, 16))


def state(seed=7, **arguments):
    torch.manual_seed(seed)
    made = Small(**arguments).state_dict()
    return {name: torch.randn_like(t) if t.is_floating_point() else t for name, t in made.items()}


def prefixed(prefix, tensors):
    return {f"{prefix}{name}": tensor for name, tensor in tensors.items()}


GOOD, RAW = state(), state(seed=8)
OTHER_WORDS = {"conv": "stem", "norm": "bn", "mix": "blocks.0.proj", "fc": "classifier"}
TF_KINDS = {"weight": "gamma", "bias": "beta"}


def in_other_words(tensors):
    names = {}
    for name in tensors:
        first, last = name.split(".")
        last = TF_KINDS.get(last, last) if first == "norm" else last
        names[name] = f"{OTHER_WORDS[first]}.{last}"
    return {names[name]: tensor for name, tensor in tensors.items()}


FILES = {
    "flat": (GOOD, ""),
    **{
        f"prefix {prefix}": (prefixed(prefix, GOOD), "")
        for prefix in (
            *("module.", "model.", "net.", "backbone.", "_orig_mod.", "module._orig_mod.model."),
            "student.body.",
        )
    },
    **{f"in {nest}": ({nest: GOOD, "epoch": 3}, "") for nest in ("net", "model", "state_dict")},
    "in an unknown place": ({"weights": GOOD, "epoch": 3}, ""),
    "beside an optimizer": (
        {
            "model": GOOD,
            "optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": []},
        },
        "",
    ),
    "beside arguments": ({"model": GOOD, "args": argparse.Namespace(lr=0.1)}, ""),
    "Lightning": (
        {
            **{"state_dict": prefixed("model.", GOOD), "pytorch-lightning_version": "2.6.0"},
            "hyper_parameters": AttributeDict(lr=0.1),
            "callbacks": {"x": {"best": torch.tensor(1.0)}},
        },
        "",
    ),
    "Lightning's averages": (
        {"state_dict": prefixed("net.", GOOD), "current_model_state": prefixed("net.", RAW)},
        " (averaged weights, EMA, under state_dict)",
    ),
    "ema beats raw": (
        {"state_dict": RAW, "state_dict_ema": GOOD},
        " (averaged weights, EMA, under state_dict_ema)",
    ),
    "ema nests": (
        {"model": RAW, "ema": {"decay": 0.9, "module": GOOD}},
        " (averaged weights, EMA, under ema.module)",
    ),
    "AveragedModel": ({**prefixed("module.", GOOD), "n_averaged": torch.tensor(5)}, ""),
    "other names": (in_other_words(GOOD), "; named otherwise there, taken in order"),
    "no counters": ({k: v for k, v in GOOD.items() if "num_batches" not in k}, ""),
    "another head beside": ({**GOOD, "aux_head.weight": torch.ones(3, 8)}, ""),
    "half precision": ({k: v.half() if v.is_floating_point() else v for k, v in GOOD.items()}, ""),
}


@pytest.mark.parametrize("suffix", [".pth", ".ckpt"])
@pytest.mark.parametrize("kind", FILES)
def test_as_they_come(kind, suffix, tmp_path):
    content, said = FILES[kind]
    torch.save(content, tmp_path / f"w{suffix}")
    filled = network()
    sentence = load_weights(filled, tmp_path / f"w{suffix}")
    assert said in sentence and ("EMA" in sentence) == ("EMA" in said)
    assert ("order" in sentence) == ("order" in said)
    tolerance = 1e-2 if kind == "half precision" else 0
    for name, tensor in filled.body.state_dict().items():
        if tensor.is_floating_point():
            assert torch.allclose(tensor, GOOD[name], atol=tolerance, rtol=tolerance), name


def test_a_network_around_a_known_one(tmp_path):
    torch.save(GOOD, tmp_path / "w.pth")
    wrapped = network(Small(backbone=True))
    load_weights(wrapped, tmp_path / "w.pth")
    assert torch.equal(wrapped.body.backbone.conv.weight, GOOD["conv.weight"])
    assert torch.equal(wrapped.body.fc.weight, GOOD["fc.weight"])


def test_and_the_other_way_round(tmp_path):
    save_file(state(backbone=True), tmp_path / "w.safetensors")
    filled = network()
    assert "new" not in load_weights(filled, tmp_path / "w.safetensors")
    assert torch.equal(filled.body.conv.weight, state(backbone=True)["backbone.conv.weight"])


@pytest.mark.parametrize(("key", "tensors"), [("state_dict", RAW), ("more.ema", GOOD)])
def test_the_command_chooses(key, tensors, tmp_path):
    torch.save({"state_dict": RAW, "more": {"ema": GOOD}}, tmp_path / "w.pth")
    filled = network()
    assert f"(weights_key={key})" in load_weights(filled, tmp_path / "w.pth", key=key)
    assert torch.equal(filled.body.conv.weight, tensors["conv.weight"])


def test_a_head_of_another_size_in_other_words(tmp_path):
    torch.save(in_other_words(state(classes=1000)), tmp_path / "w.pth")
    filled = network()
    said = load_weights(filled, tmp_path / "w.pth")
    assert said.endswith("taken in order; new: fc.weight, fc.bias")
    assert torch.equal(filled.body.mix.weight, state(classes=1000)["mix.weight"])


def broken(value, name="mix.weight"):
    tensor = GOOD[name].clone()
    tensor.view(-1)[0] = value
    return {**GOOD, name: tensor}


REFUSED = {
    "NaN": (broken(torch.nan), "holds NaN or infinite numbers in 1 tensors .mix.weight."),
    "infinite": (broken(torch.inf), "holds NaN or infinite numbers in 1 tensors .mix.weight."),
    "NaN statistics": (broken(torch.nan, "norm.running_var"), "NaN or infinite .*running_var"),
    "two of unknown names": ({"a": GOOD, "b": RAW}, "several state dicts: a, b; .*weights_key=a"),
    "more layers": (
        {**GOOD, "deep.weight": torch.ones(8, 8)},
        "1 parameters that the network lacks .deep.weight.*model.partial_weights=true",
    ),
    "fewer layers": (
        {k: v for k, v in GOOD.items() if k != "mix.bias"},
        "1 parameters fewer than the network .mix.bias.*model.partial_weights=true",
    ),
    "other names, another number": (
        {k: v for k, v in in_other_words(GOOD).items() if k != "bn.beta"},
        "no tensor of it matches",
    ),
    "other names, another kind": (
        {k.replace("proj.bias", "proj.scale"): v for k, v in in_other_words(GOOD).items()},
        "no tensor of it matches",
    ),
    "other names, another shape": (in_other_words(state(inner=9)), "no tensor of it matches"),
    "another width": (state(inner=9), "conv.weight 9x3x3x3 there and 8x3x3x3 here"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_refusals(kind, tmp_path):
    content, says = REFUSED[kind]
    torch.save(content, tmp_path / "w.pth")
    untouched = network()
    before = {name: tensor.clone() for name, tensor in untouched.state_dict().items()}
    with pytest.raises(ConfigError, match=says):
        load_weights(untouched, tmp_path / "w.pth")
    assert all(torch.equal(before[k], v) for k, v in untouched.state_dict().items())


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("ema", "has no ema; there are model, more"),
        ("more.ema", "has no ema; there are inner"),
        ("epoch", "has no tensors there"),
    ],
)
def test_a_key_that_leads_nowhere(key, says, tmp_path):
    content = {"model": GOOD, "more": {"inner": RAW}, "epoch": 3}
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(ConfigError, match=f"model.weights_key={key}: .*{says}"):
        read_state(tmp_path / "w.pth", key)


def positions(name, size):
    torch.manual_seed(size)
    node = {"_target_": "lightning_modules.networks.timm_zoo.timm_network", "variant": name}
    return build_network(node, num_classes=3, image_size=size)


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [("vit_tiny_patch16_224", 64, 96), ("deit_tiny_distilled_patch16_224", 64, 32)],
)
def test_positions_of_another_image_size(name, before, after, tmp_path):
    source, filled = positions(name, before), positions(name, after)
    torch.save({"model": source.body.state_dict()}, tmp_path / "w.pth")
    said = load_weights(filled, tmp_path / "w.pth")
    assert "; interpolated for another image size: pos_embed" in said
    tokens = source.body.num_prefix_tokens
    side = after // 16
    expected = resample_abs_pos_embed(source.body.pos_embed, [side, side], num_prefix_tokens=tokens)
    assert torch.equal(filled.body.pos_embed, expected)
    assert not filled.new_tensors


def test_positions_of_torchvision(tmp_path):
    def small(size):
        body = VisionTransformer(size, 8, 1, 2, 16, 32, num_classes=3)
        return Network(pixels=Pixels(), body=body, num_classes=3, image_size=(size, size))

    source, filled = small(32), small(64)
    torch.save(source.body.state_dict(), tmp_path / "w.pth")
    said = load_weights(filled, tmp_path / "w.pth")
    assert "; interpolated for another image size: encoder.pos_embedding" in said
    expected = resample_abs_pos_embed(source.body.encoder.pos_embedding, [8, 8])
    assert torch.equal(filled.body.encoder.pos_embedding, expected)
