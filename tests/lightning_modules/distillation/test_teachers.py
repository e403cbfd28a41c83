"""Teachers from runs and from weights files."""

from functools import partial

import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import save_file

from lightning_modules.distillation.teachers import teacher_from
from lightning_modules.errors import ConfigError
from lightning_modules.networks import build_network, save_network
from lightning_modules.runs import NOT_YET, write_metrics

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

    from lightning_modules.distillation.teachers import gather_teachers
    from lightning_modules.networks.cosine_head import CosineLinear

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


class Killed(BaseException):
    pass


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["training", "end", "whole"])
def test_a_resume_goes_on_with_the_teacher_that_was_in_training(compose_config, homes, moment):
    from types import SimpleNamespace

    from lightning_modules.distillation.teachers import gather_teachers

    data = SimpleNamespace(class_names=CLASSES, image_size=(32, 32))
    (homes / "run").mkdir()
    folders = []

    def train(own, folder, *, moment=None):
        folders.append((folder, own.optimizer.lr))
        if moment == "training":
            raise Killed
        network = build_network(own.model, num_classes=3, image_size=32)
        network.class_names = CLASSES
        save_network(network, folder)
        write_metrics(folder, {"missing": {"card": NOT_YET}} if moment == "end" else {})
        if moment == "end":
            raise Killed

    def gather(rate, train):
        cfg = compose_config("+teacher=shufflenet_g3", f"optimizer.lr={rate}")
        return gather_teachers(cfg, data, homes / "run", train=train)

    if moment == "whole":
        gather(0.1, train)
    else:
        with pytest.raises(Killed):
            gather(0.1, partial(train, moment=moment))
    (teacher,) = gather(0.2, train)
    assert teacher.network.num_classes == 3
    assert {rate for _, rate in folders} == {0.1}  # as it was begun
    assert len(folders) == (1 if moment == "whole" else 2)
    assert [*(homes / "outputs" / "teachers").iterdir()] == [folders[0][0]] == [folders[-1][0]]


@pytest.mark.parametrize(("precision", "dtype"), [("16", torch.float16), ("bf16", torch.bfloat16)])
def test_half_precision_is_that_of_the_body(compose_config, tmp_path, precision, dtype):
    _, network = make_network(compose_config, image_size=64)
    save_network(network, tmp_path)
    node = {"run": str(tmp_path), "image_size": 32}
    whole, half = (
        make_teacher(node, tmp_path),
        make_teacher({**node, "precision": precision}, tmp_path),
    )
    assert {p.dtype for p in half.network.body.parameters()} == {dtype}
    assert half.network.pixels.mean.dtype == torch.float32
    logits = half(IMAGES)
    assert logits.dtype == torch.float32
    scale = whole(IMAGES).abs().max().item()
    torch.testing.assert_close(logits, whole(IMAGES), rtol=0, atol=0.05 * scale)
    assert not torch.equal(logits, whole(IMAGES))


def test_precision_is_the_teachers_own_whatever_training_has(compose_config, tmp_path):
    _, network = make_network(compose_config)
    save_network(network, tmp_path)
    teacher = make_teacher({"run": str(tmp_path), "channels_last": True}, tmp_path)
    alone = teacher(IMAGES)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(teacher(IMAGES), alone)
    assert teacher.network.body.features.stage1.unit1.dw_conv2.weight.is_contiguous(
        memory_format=torch.channels_last
    )
    torch.testing.assert_close(alone, network(IMAGES), rtol=1e-4, atol=1e-4)


def test_features_are_pairs(compose_config, tmp_path):
    _, network = make_network(compose_config)
    save_network(network, tmp_path)
    node = {"run": str(tmp_path), "features": {"features.stage2": "features.stage3"}}
    assert make_teacher(node, tmp_path).features == {"features.stage2": "features.stage3"}


@pytest.mark.slow
def test_logits_do_not_depend_on_the_place_in_the_batch(compose_config, tmp_path):
    """Two threads of PyTorch would share 17 images out in the middle of the ninth."""
    _, network = make_network(compose_config, "model.units=[4,8,4]")
    save_network(network, tmp_path)
    teacher = make_teacher({"run": str(tmp_path)}, tmp_path)
    images, threads = torch.randint(0, 256, (17, 3, 32, 32)).byte(), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        logits = teacher(images)
        for seed in range(3):
            order = torch.randperm(17, generator=torch.Generator().manual_seed(seed))
            assert torch.equal(teacher(images[order]), logits[order])
    finally:
        torch.set_num_threads(threads)
    torch.testing.assert_close(logits, network(images))
