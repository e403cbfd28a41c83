import pytest
import timm
import torch

from lightning_modules.errors import ConfigError
from lightning_modules.networks import build_network, load_network, meta_network, save_network
from lightning_modules.networks.timm_zoo import check_name


def test_both_spellings_of_the_name(compose_config):
    for key in ("name", "variant"):
        cfg = compose_config("model=timm", f"model.{key}=lcnet_050")
        network = build_network(cfg.model, num_classes=3, image_size=64)
        assert network.model_cfg["variant"] == "lcnet_050"


def test_an_unknown_name_says_the_nearest(model_cfg):
    with pytest.raises(ConfigError, match=r"no network 'resnet50x'; did you mean resnet50"):
        build_network(model_cfg("timm", name="resnet50x"), num_classes=3, image_size=64)
    for name in ("hf-hub:someone/resnet50", "%%%", 7):
        with pytest.raises(ConfigError, match="timm has no network"):
            check_name(name)
    check_name("resnet50.a1_in1k")


def test_a_transformer_is_made_for_the_images(model_cfg):
    cfg = model_cfg("timm", name="vit_tiny_patch16_224")
    network = build_network(cfg, num_classes=3, image_size=[32, 48]).eval()
    assert network.body.pos_embed.shape[1] == 1 + 2 * 3
    assert network(torch.zeros(1, 3, 32, 48, dtype=torch.uint8)).shape == (1, 3)
    assert network.pixels.mean.flatten().tolist() == [0.5, 0.5, 0.5]  # as its weights want it


@pytest.mark.parametrize(
    "name",
    [
        "vit_tiny_patch16_224",
        pytest.param("swin_tiny_patch4_window7_224", marks=pytest.mark.slow),
    ],
)
def test_comes_back_with_buffers_that_no_file_holds(name, model_cfg, tmp_path):
    cfg = model_cfg("timm", name=name)
    network = build_network(cfg, num_classes=3, image_size=64).eval()
    save_network(network, tmp_path)
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    assert torch.equal(load_network(tmp_path)(images), network(images))


def test_a_size_it_cannot_take_is_one_sentence(model_cfg):
    with pytest.raises(ConfigError, match=r"twins_svt_small cannot be built.*input_size=224"):
        meta_network(model_cfg("timm", name="twins_svt_small"), num_classes=3, image_size=80)
    with pytest.raises(ConfigError, match=r"dla34: .*80 x 80 pixels.*model.input_size"):
        meta_network(model_cfg("timm", name="dla34"), num_classes=3, image_size=80)


def test_options_reach_timm(model_cfg):
    with pytest.raises(ConfigError, match="cannot be built.*depht"):
        meta_network(model_cfg("timm", depht=3), num_classes=3, image_size=64)


@pytest.mark.parametrize("key", ["checkpoint_path", "pretrained_cfg", "pretrained_cfg_overlay"])
def test_no_file_is_unpickled_on_the_way(key, model_cfg):
    with pytest.raises(ConfigError, match=f"model.{key} is not taken"):
        build_network(model_cfg("timm", **{key: "evil.pth"}), num_classes=3, image_size=64)


def test_pretrained(model_cfg, monkeypatch):
    with pytest.raises(ConfigError, match="no weights for resnet50_clip_gap"):
        cfg = model_cfg("timm", name="resnet50_clip_gap", pretrained=True)
        monkeypatch.setattr(timm, "is_model_pretrained", lambda name: False)
        build_network(cfg, num_classes=3, image_size=64)
    monkeypatch.undo()

    def offline(*args, **kwargs):
        raise OSError("no route to host\nsecond line")

    monkeypatch.setattr(timm.models._builder, "load_pretrained", offline)
    with pytest.raises(ConfigError, match=r"weights of lcnet_050 \(no route to host\)") as caught:
        cfg = model_cfg("timm", name="lcnet_050", pretrained=True)
        build_network(cfg, num_classes=3, image_size=64)
    assert "\n" not in str(caught.value)
