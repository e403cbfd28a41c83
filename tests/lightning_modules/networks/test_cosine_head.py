"""The cosine head: where it goes, what it computes, that it saves, loads and exports."""

import pytest
import torch
import yaml
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from compression import compress
from compression.factorization.tucker import Tucker
from compression.onnx.export import export_onnx
from compression.onnx.network import onnx_session
from lightning_modules.errors import ConfigError
from lightning_modules.networks import build_network, load_network, meta_network, save_network
from lightning_modules.networks.cosine_head import CosineLinear, put_cosine_head

HEADS = {
    "alexnet": "classifier.6",
    "blocks/diet_found": "blocks.b11.0.linear",
    "convnext": "classifier.2",
    "densenet": "classifier",
    "efficientnet": "classifier.1",
    "googlenet": "fc",
    "mnasnet": "classifier.1",
    "mobilenet_v3": "classifier.3",
    "regnet": "fc",
    "resnet": "fc",
    "shufflenet_g3": "output",
    "shufflenet_v2": "fc",
    "swin": "head",
    "timm": "classifier",
    "vgg": "classifier.6",
    "vit": "heads.head",
}


def build(model_cfg, option="shufflenet_g3", **changes):
    torch.manual_seed(0)
    cfg = model_cfg(option, cosine_scale=8.0, **changes)
    return build_network(cfg, num_classes=3, image_size=[32, 48]).eval()


SMALL = ("alexnet", "blocks/diet_found", "resnet", "shufflenet_g3", "timm", "vgg")


@pytest.mark.parametrize(
    "option",
    [head if head in SMALL else pytest.param(head, marks=pytest.mark.slow) for head in HEADS],
)
def test_it_takes_the_place_of_the_last_linear(model_cfg, option):
    network = meta_network(model_cfg(option, cosine_scale=8), num_classes=5, image_size=64)
    found = {name: m for name, m in network.named_modules() if isinstance(m, CosineLinear)}
    assert list(found) == [f"body.{HEADS[option]}"]
    plain = meta_network(model_cfg(option), num_classes=5, image_size=64)
    replaced = plain.get_submodule(f"body.{HEADS[option]}")
    (head,) = found.values()
    assert head.weight.shape == replaced.weight.shape
    assert head.bias is None


@pytest.mark.parametrize(
    ("option", "changes", "last"),
    [
        ("squeezenet", {}, r"squeezenet1_1 ends in classifier.3 \(AdaptiveAvgPool2d\)"),
        ("blocks/cv09_final", {}, r"cv09_final ends in blocks.b8.0.bn \(BatchNorm2d\)"),
        ("shufflenet_g3", {"head": "conv"}, r"shufflenet_g3 ends in output \(Conv2d\)"),
    ],
)
def test_other_heads_are_refused_by_name(model_cfg, option, changes, last):
    with pytest.raises(ConfigError, match=f"{last}, but the cosine head of loss=arcface"):
        meta_network(model_cfg(option, cosine_scale=8, **changes), num_classes=5, image_size=64)


class Ending(nn.Module):
    """A Linear, and something after it."""

    def __init__(self, after):
        super().__init__()
        self.fc, self.after = nn.Linear(3, 2), after

    def forward(self, x):
        return self.after(self.fc(x.mean((2, 3))))


@pytest.mark.parametrize(
    ("after", "last"),
    [
        (nn.ReLU(inplace=True), r"after \(ReLU\)"),
        (nn.Softmax(dim=1), r"after \(Softmax\)"),
        (torch.sigmoid, r"\(Ending\)"),
    ],
)
def test_nothing_may_follow_the_linear(after, last):
    with pytest.raises(ConfigError, match=f"mine ends in {last}"):
        put_cosine_head(Ending(after), (8, 8), scale=8.0, name="mine")
    fine = Ending(nn.Sequential(nn.Dropout(), nn.Identity()))
    put_cosine_head(fine, (8, 8), scale=8.0, name="mine")
    assert isinstance(fine.fc, CosineLinear)


@pytest.mark.parametrize("scale", [0, -1, "large", float("inf")])
def test_the_scale_is_a_positive_number(model_cfg, scale):
    with pytest.raises(ConfigError, match="model.cosine_scale=.* must be above 0"):
        build_network(model_cfg(cosine_scale=scale), num_classes=3, image_size=32)


def test_an_image_too_small_is_told_as_ever(model_cfg):
    with pytest.raises(ConfigError, match="give another data.image_size"):
        build_network(model_cfg("alexnet", cosine_scale=8), num_classes=3, image_size=32)


def test_logits_are_scaled_cosines():
    head = CosineLinear(5, 3, scale=8.0)
    x = torch.randn(4, 5)
    expected = 8 * functional.cosine_similarity(x[:, None], head.weight[None], dim=2)
    torch.testing.assert_close(head(x), expected)
    torch.testing.assert_close(head(100 * x), head(x))
    zero = torch.zeros(1, 5, requires_grad=True)
    assert (head(zero) == 0).all()
    assert head.half()(x.half()).isfinite().all()
    assert head(zero.half()).isfinite().all()


def test_it_is_saved_loaded_and_compressed(model_cfg, images, tmp_path):
    network = build(model_cfg, units=[1, 1, 1])
    network.class_names = ("blue", "green", "red")
    logits = network(images)
    assert logits.abs().max() <= 8.001
    save_network(network, tmp_path / "trained")
    described = yaml.safe_load((tmp_path / "trained" / "model" / "network.yaml").read_text())
    assert described["model"]["cosine_scale"] == 8.0
    loaded = load_network(tmp_path / "trained")
    assert isinstance(loaded.body.output, CosineLinear)
    assert torch.equal(loaded(images), logits)

    batches = [(images, torch.tensor([0, 1, 2, 0]))]
    smaller, _ = compress(loaded, [Tucker(ratio=0.5)], sample=images, batches=batches)
    save_network(smaller, tmp_path / "smaller")
    again = load_network(tmp_path / "smaller")
    assert torch.equal(again(images), smaller.eval()(images))
    assert len(again.recipe.entries) == 1


@pytest.mark.slow
def test_it_is_exported(model_cfg, images, tmp_path):
    network = build(model_cfg, units=[1, 1, 1])
    path = export_onnx(network, tmp_path / "network.onnx", (32, 48))
    (logits,) = onnx_session(str(path)).run(None, {"images": images.numpy()})
    torch.testing.assert_close(torch.tensor(logits), network(images), rtol=1e-3, atol=1e-4)


def test_weights_of_a_plain_network_are_a_start(model_cfg, tmp_path):
    source = build_network(model_cfg(units=[1, 1, 1]), num_classes=7, image_size=32)
    save_file(source.body.state_dict(), tmp_path / "w.safetensors")
    network = build(model_cfg, units=[1, 1, 1], weights=str(tmp_path / "w.safetensors"))
    assert network.new_tensors == ["output.weight"]
    stem = "features.init_block.conv.weight"
    assert torch.equal(network.body.get_parameter(stem), source.body.get_parameter(stem))
