import math
import os

import pytest
import torch
from safetensors.torch import save_file

from lightning_modules.errors import ConfigError
from lightning_modules.networks import build_network, load_weights


@pytest.fixture
def other(model_cfg):
    """The same architecture with other values and four classes."""
    torch.manual_seed(7)
    return build_network(model_cfg(units=[1, 1, 1]), num_classes=4, image_size=32)


@pytest.mark.parametrize(
    "nest",
    [
        lambda state: state,
        lambda state: {"state_dict": {f"module.{k}": v for k, v in state.items()}, "epoch": 3},
        lambda state: {"model": {f"network.body.{k}": v for k, v in state.items()}},
        lambda state: {"ema": {"state_dict": state}, "model": {"a": torch.ones(1)}},
    ],
)
def test_reads_plain_and_nested_checkpoints(nest, network, other, tmp_path):
    path, nested = tmp_path / "weights.pth", nest(other.body.state_dict())
    torch.save(nested, path)
    sentence = load_weights(network, path)
    total = len(other.body.state_dict())
    averaged = " (averaged weights, EMA, under ema.state_dict)" if "ema" in nested else ""
    new = "new: output.weight, output.bias"
    assert sentence == f"loaded {total - 2} of {total} tensors from {path}{averaged}; {new}"
    loaded, source = network.body.state_dict(), other.body.state_dict()
    assert all(torch.equal(loaded[k], source[k]) for k in source if not k.startswith("output"))


def test_reads_safetensors(network, other, tmp_path):
    save_file(other.state_dict(), tmp_path / "weights.safetensors")
    assert load_weights(network, tmp_path / "weights.safetensors").startswith("loaded ")
    assert torch.equal(network.body.features[0].conv.weight, other.body.features[0].conv.weight)


def test_mnasnet_loads_without_its_metadata(model_cfg, tmp_path):
    cfg = model_cfg("mnasnet")
    network = build_network(cfg, num_classes=3, image_size=32)
    save_file(network.body.state_dict(), tmp_path / "w.safetensors")
    assert "new" not in load_weights(network, tmp_path / "w.safetensors")


def test_the_norm_of_a_convolutional_head_is_new_too(model_cfg, tmp_path):
    cfg = model_cfg("blocks/cv09_final", width_multiple=0.25)
    nine, six = (build_network(cfg, num_classes=n, image_size=32) for n in (9, 6))
    save_file(nine.body.state_dict(), tmp_path / "w.safetensors")
    assert "blocks.b8.0.bn.weight" in load_weights(six, tmp_path / "w.safetensors")
    assert all(key.startswith("blocks.b8.0.") for key in six.new_tensors)


def test_another_architecture_names_five_keys(network, model_cfg, tmp_path):
    wide = build_network(model_cfg(width=0.5), num_classes=3, image_size=32)
    torch.save(wide.body.state_dict(), tmp_path / "wide.pth")
    before = {k: v.clone() for k, v in network.state_dict().items()}
    with pytest.raises(ConfigError, match="12x3x3x3 there and 6x3x3x3 here") as caught:
        load_weights(network, tmp_path / "wide.pth")
    assert str(caught.value).count(" here") == 5
    assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())


def test_a_deeper_networks_weights_are_taken_only_when_told(model_cfg, tmp_path):
    deep = build_network(model_cfg(units=[2, 1, 1]), num_classes=3, image_size=32)
    shallow = build_network(model_cfg(units=[1, 1, 1]), num_classes=3, image_size=32)
    torch.save(deep.body.state_dict(), tmp_path / "deep.pth")
    torch.save(shallow.body.state_dict(), tmp_path / "shallow.pth")
    before = {k: v.clone() for k, v in shallow.state_dict().items()}
    with pytest.raises(ConfigError, match="9 parameters that the network lacks .*partial"):
        load_weights(shallow, tmp_path / "deep.pth")
    with pytest.raises(ConfigError, match="9 parameters fewer than the network .*partial"):
        load_weights(deep, tmp_path / "shallow.pth")
    assert all(torch.equal(before[k], v) for k, v in shallow.state_dict().items())
    sentence = load_weights(shallow, tmp_path / "deep.pth", partial=True)
    assert "; not used: features.stage1.unit2.compress_conv1.weight" in sentence
    assert sentence.endswith(" and 13 more") and "new" not in sentence
    assert "; new: features.stage1.unit2" in load_weights(
        deep, tmp_path / "shallow.pth", partial=True
    )


def test_some_equal_names_do_not_make_the_same_architecture(model_cfg, tmp_path):
    resnet = build_network(model_cfg("resnet"), num_classes=3, image_size=32)
    state = {"conv1.weight": torch.zeros(64, 3, 7, 7), "denseblock.weight": torch.zeros(3)}
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(ConfigError) as caught:
        load_weights(resnet, tmp_path / "other.pth")
    says = "only 1 of 120 tensors match; it has denseblock.weight where the network has bn1.weight"
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("option", "name"), [("resnet", "resnet18"), ("timm", "resnet18"), ("timm", "resnet50.a1_in1k")]
)
def test_reads_the_key_names_of_both_libraries(option, name, model_cfg, tmp_path):
    import timm
    from torchvision import models

    make = timm.create_model if option == "timm" else models.get_model
    source = make(name.partition(".")[0], num_classes=7)
    torch.save({"state_dict": source.state_dict()}, tmp_path / "w.pth")
    network = build_network(model_cfg(option, variant=name), num_classes=3, image_size=64)
    sentence = load_weights(network, tmp_path / "w.pth")
    assert sentence.endswith("; new: fc.weight, fc.bias")


class Evil:
    def __reduce__(self):
        return os.system, ("exit 1",)


def test_refuses_with_a_sentence(network, tmp_path):
    files = {
        "code.pth": (lambda p: torch.save({"a": Evil()}, p), "refused"),
        "broken.pth": (lambda p: p.write_bytes(b"not a zip"), "refused|damaged"),
        "broken.safetensors": (lambda p: p.write_bytes(b"x"), "damaged"),
        "none.pth": (lambda p: torch.save({"a": 1}, p), "no state_dict"),
        "other.pth": (lambda p: torch.save({"a": torch.ones(1)}, p), "no tensor of it matches"),
        "weights.txt": (lambda p: p.write_text(""), "is no .pth"),
        "absent.pth": (lambda p: None, "There is no weights file"),
    }
    for name, (write, says) in files.items():
        write(tmp_path / name)
        with pytest.raises(ConfigError, match=says):
            load_weights(network, tmp_path / name)


@pytest.mark.parametrize("name", ["efficientnet", "mobilenet_v3", "mnasnet"])
def test_a_new_head_starts_without_an_opinion(name, model_cfg, tmp_path):
    """EfficientNet's own rule begins at more than twice ln(classes)."""
    torch.manual_seed(0)
    nine, six = (build_network(model_cfg(name), num_classes=n, image_size=32) for n in (9, 6))
    save_file(nine.body.state_dict(), tmp_path / "w.safetensors")
    load_weights(six, tmp_path / "w.safetensors")
    logits = six.train()(torch.randint(256, (16, 3, 32, 32), dtype=torch.uint8))
    loss = torch.nn.functional.cross_entropy(logits, torch.arange(16) % 6)
    assert loss.item() < 1.1 * math.log(6)
