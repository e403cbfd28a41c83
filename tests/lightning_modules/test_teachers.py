"""Teachers from runs and from weights files."""

import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import save_file

from lightning_modules.errors import ConfigError
from lightning_modules.networks import build_network, save_network
from lightning_modules.teachers import teacher_from

CLASSES = ("blue", "green", "red")
IMAGES = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)


def make_network(compose_config, *overrides, num_classes=3, image_size=32):
    cfg = compose_config("model.units=[1,1,1]", *overrides).model
    network = build_network(cfg, num_classes=num_classes, image_size=image_size)
    network.class_names = CLASSES
    return cfg, network.eval()


def make_teacher(node, run=None):
    return teacher_from(
        "t", OmegaConf.create(node), run=run, class_names=CLASSES, image_size=(32, 32)
    )


def test_a_run_is_loaded_frozen(compose_config, tmp_path):
    _, network = make_network(compose_config)
    save_network(network, tmp_path)
    teacher = make_teacher({"run": str(tmp_path), "weight": 2.0, "temperature": 3.0}, tmp_path)
    assert torch.equal(teacher(IMAGES), network(IMAGES))
    assert (teacher.weight, teacher.temperature) == (2.0, 3.0)
    assert not teacher.network.training
    assert not any(p.requires_grad for p in teacher.network.parameters())


def test_a_teacher_trained_at_another_size_resizes_by_itself(compose_config, tmp_path):
    _, network = make_network(compose_config, image_size=64)
    save_network(network, tmp_path)
    teacher = make_teacher({"run": str(tmp_path)}, tmp_path)
    assert teacher.network.pixels.resize_to == (64, 64)
    larger = torch.nn.functional.interpolate(
        IMAGES.float(), (64, 64), mode="bilinear", antialias=True
    )
    torch.testing.assert_close(teacher(IMAGES), network(larger))
    own = make_teacher({"run": str(tmp_path), "image_size": 32}, tmp_path)
    assert torch.equal(own(IMAGES), network(IMAGES))


def test_a_weights_file_must_hold_the_head_too(compose_config, tmp_path):
    cfg, network = make_network(compose_config)
    save_file(network.body.state_dict(), tmp_path / "whole.safetensors")
    node = {"model": OmegaConf.to_container(cfg), "weights": str(tmp_path / "whole.safetensors")}
    assert torch.equal(make_teacher(node)(IMAGES), network(IMAGES))

    _, other = make_network(compose_config, num_classes=7)
    save_file(other.body.state_dict(), tmp_path / "imagenet.safetensors")
    with pytest.raises(ConfigError, match=r"imagenet.*lacks output.weight.*head for these 3"):
        make_teacher({**node, "weights": str(tmp_path / "imagenet.safetensors")})


def test_a_teacher_trained_with_arcface_gets_its_head(compose_config, homes):
    from types import SimpleNamespace

    from lightning_modules.networks.cosine_head import CosineLinear
    from lightning_modules.teachers import gather_teachers

    cfg = compose_config("loss=arcface", "model.cosine_scale=9", "+teacher=shufflenet_g3")
    data = SimpleNamespace(class_names=CLASSES, image_size=(32, 32))
    (homes / "run").mkdir()

    def train(own, folder):
        assert own.loss.scale == own.model.cosine_scale == 9
        network = build_network(own.model, num_classes=3, image_size=32)
        network.class_names = CLASSES
        save_network(network, folder)

    (teacher,) = gather_teachers(cfg, data, homes / "run", train=train)
    assert isinstance(teacher.network.body.output, CosineLinear)
    assert "cosine_scale" not in cfg.teacher.shufflenet_g3.model
