import pytest
import torch
from torch import nn
from torchvision.transforms.v2.functional import normalize, resize

from compression import CompressionError
from compression.onnx import export_onnx, onnx_session
from lightning_modules.errors import ConfigError
from lightning_modules.files import read_yaml
from lightning_modules.networks import build_network, load_network, save_network
from lightning_modules.networks.description import write_description
from lightning_modules.networks.network import IMAGENET_MEAN, IMAGENET_STD, Network, Pixels


def test_normalises_as_torchvision_does(images):
    expected = normalize(images / 255, list(IMAGENET_MEAN), list(IMAGENET_STD))
    torch.testing.assert_close(Pixels()(images), expected)
    torch.testing.assert_close(Pixels()(images.double()), expected)


def test_resizes_inside(images):
    expected = resize(images.float(), [20, 24], antialias=True)
    pixels = Pixels(mean=(0, 0, 0), std=(1 / 255,) * 3, resize_to=[20, 24])
    torch.testing.assert_close(pixels(images), expected)


def test_keeps_channels_last(images):
    out = Pixels()(images.contiguous(memory_format=torch.channels_last))
    assert out.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("wrong", [{"mean": (0.5,)}, {"std": (1, 0, 1)}, {"resize_to": 0}])
def test_refuses_impossible_settings(wrong):
    with pytest.raises(ConfigError):
        Pixels(**wrong)


def network(**settings):
    body = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return Network(pixels=Pixels(**settings), body=body, num_classes=3, image_size=(8, 6)).eval()


@pytest.mark.parametrize("shape", [(2, 1, 8, 6), (2, 4, 8, 6), (3, 8, 6)])
def test_images_of_other_channels_are_refused(shape):
    with pytest.raises(CompressionError, match=r"takes a batch of images, N x 3 x H x W, not"):
        network()(torch.zeros(shape))


def test_the_size_is_checked_once_it_is_fixed(images):
    made = network()
    assert made(images).shape == (len(images), 3)  # while it is built and trained
    made.any_size = False
    assert made(torch.zeros(1, 3, 8, 6)).shape == (1, 3)
    with pytest.raises(CompressionError, match=r"8 x 6 pixels \(H x W\), not 6 x 8: resize them"):
        made(torch.zeros(1, 3, 6, 8))
    assert made.train()(torch.zeros(1, 3, 6, 8)).shape == (1, 3)
    assert made.eval().to("meta")(torch.zeros(1, 3, 6, 8, device="meta")).shape == (1, 3)


def test_a_network_that_resizes_takes_any_size():
    made = network(resize_to=4)
    made.any_size = False
    assert made(torch.zeros(1, 3, 6, 8)).shape == (1, 3)


def test_the_check_is_no_part_of_a_graph():
    made = network()
    made.any_size = False
    free = {0: torch.export.Dim("batch"), 2: torch.export.Dim("height")}
    program = torch.export.export(made, (torch.zeros(2, 3, 8, 6),), dynamic_shapes=(free,))
    assert program.module()(torch.zeros(5, 3, 9, 6)).shape == (5, 3)


RED = torch.tensor([250, 30, 10], dtype=torch.uint8).view(1, 3, 1, 1).expand(1, 3, 4, 4)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"normalize": False}, (250 / 255, 30 / 255, 10 / 255)),
        ({"normalize": False, "scale": 255}, (250, 30, 10)),
        ({"normalize": False, "channel_order": "bgr"}, (10 / 255, 30 / 255, 250 / 255)),
        (  # Caffe's networks: BGR, means subtracted from 0..255
            {"mean": [104, 117, 123], "std": [1, 1, 1], "scale": 255, "channel_order": "bgr"},
            (10 - 104, 30 - 117, 250 - 123),
        ),
        (
            {"mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375], "scale": 255},
            ((250 - 123.675) / 58.395, (30 - 116.28) / 57.12, (10 - 103.53) / 57.375),
        ),
        ({"mean": [0.5] * 3, "std": [0.5] * 3}, (245 / 255, -195 / 255, -235 / 255)),
    ],
)
def test_gives_the_pixels_that_a_network_wants(settings, expected):
    found = Pixels(**settings)(RED)
    assert found[0, :, 2, 3].tolist() == pytest.approx(expected, rel=1e-5, abs=1e-4)


def test_means_of_another_range_are_refused():
    with pytest.raises(ConfigError, match=r"is no mean of values in 0..1; .*model.scale=255"):
        Pixels(mean=[123.675, 116.28, 103.53], std=[58, 57, 57])


class FirstPixel(nn.Module):
    """Logits that are the colors of the first pixel, as the network sees them."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, num_classes, 1, bias=False)
        with torch.no_grad():
            self.conv.weight.copy_(torch.eye(3)[..., None, None])

    def forward(self, x):
        return self.conv(x)[:, :, 0, 0]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"normalize": False, "channel_order": "bgr"}, (10 / 255, 30 / 255, 250 / 255)),
        ({"mean": [104, 117, 123], "std": [1, 1, 1], "scale": 255}, (146, -87, -113)),
    ],
)
def test_a_saved_network_and_its_file_see_the_same_pixels(settings, expected, tmp_path):
    node = {"_target_": f"{__name__}.FirstPixel", **settings}
    network = build_network(node, num_classes=3, image_size=4).eval()
    save_network(network, tmp_path)
    loaded = load_network(tmp_path, trust=["tests"])
    assert loaded(RED)[0].tolist() == pytest.approx(expected, rel=1e-5, abs=1e-4)
    images = torch.cat([RED, RED.flip(1)])
    described = read_yaml(tmp_path / "model" / "network.yaml")
    if order := described["model"].pop("channel_order", None):  # as an earlier version called it
        described["model"]["channels"] = order
    write_description(tmp_path / "model", described)
    assert torch.equal(load_network(tmp_path, trust=["tests"])(RED), loaded(RED))
    session = onnx_session(str(export_onnx(loaded, tmp_path / "n.onnx", 4)))
    (logits,) = session.run(None, {session.get_inputs()[0].name: images.numpy()})
    torch.testing.assert_close(torch.from_numpy(logits), loaded(images), rtol=1e-5, atol=1e-4)
