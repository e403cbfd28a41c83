"""The two kinds of heads, by themselves."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from lightning_modules.errors import ConfigError
from lightning_modules.training.auxiliary.heads import AuxiliaryClassifier, Reconstruction

IMAGES = torch.randint(
    0, 256, (4, 3, 16, 24), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
)
LABELS = torch.tensor([0, 1, 2, 1])
FACTS = {"num_classes": 3, "image_size": (16, 24)}


@pytest.mark.parametrize(
    ("shape", "pool"),
    [((5, 4, 6), (2, 3)), ((7, 5), (1,)), ((5,), ())],
    ids=["map", "tokens", "flat"],
)
def test_a_classifier_is_pooling_a_linear_and_its_loss(shape, pool):
    feature = torch.randn(4, *shape)
    head = AuxiliaryClassifier(shape=(1, *shape), loss=nn.CrossEntropyLoss(), **FACTS)
    pooled = feature.mean(pool) if pool else feature
    logits = pooled @ head.linear.weight.T + head.linear.bias
    soft = torch.softmax(torch.randn(4, 3), dim=1)
    for targets in (LABELS, soft):
        expected = functional.cross_entropy(logits, targets)
        torch.testing.assert_close(head(feature, IMAGES, targets), expected)


@pytest.mark.parametrize(("error", "power"), [("mse", 2), ("l1", 1)])
@pytest.mark.parametrize("images", [IMAGES, IMAGES.float()], ids=["uint8", "mixed"])
def test_reconstruction_is_the_error_of_the_averaged_pixels(error, power, images):
    head = Reconstruction(shape=(1, 5, 4, 6), error=error, downsample=4, **FACTS)
    head.decoder = nn.Conv2d(5, 3, 1)
    feature = torch.randn(4, 5, 4, 6)  # as large as the target: nothing is resized
    blocks = IMAGES.double().reshape(4, 3, 4, 4, 6, 4).mean((3, 5)) / 255
    expected = ((head.decoder(feature) - blocks).abs() ** power).mean()
    assert head(feature, images, LABELS).item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize(
    ("side", "downsample", "doublings"), [(2, 1, 3), (4, 1, 2), (4, 2, 1), (16, 2, 0), (3, 1, 2)]
)
def test_the_decoder_grows_to_the_target(side, downsample, doublings):
    facts = {"num_classes": 3, "image_size": (16, 16)}
    head = Reconstruction(shape=(1, 5, side, side), downsample=downsample, channels=8, **facts)
    assert sum(isinstance(layer, nn.Upsample) for layer in head.decoder) == doublings
    loss = head(torch.randn(2, 5, side, side), IMAGES[:2, :, :, :16], LABELS[:2])
    assert loss.ndim == 0 and loss.isfinite()


def test_a_decoder_learns_to_draw():
    torch.manual_seed(0)
    head = Reconstruction(shape=(1, 8, 8, 12), channels=8, **FACTS)
    feature = torch.randn(4, 8, 8, 12)
    optimizer = torch.optim.Adam(head.parameters(), lr=1e-2)
    losses = []
    for _ in range(60):
        loss = head(feature, IMAGES, LABELS)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.25 * losses[0]


@pytest.mark.parametrize("head", [Reconstruction, AuxiliaryClassifier])
@pytest.mark.parametrize(
    ("shape", "image_size"), [((1, 8, 8, 96), (32, 32)), ((1, 4, 6, 96), (16, 24))]
)
def test_channels_that_come_last_are_refused(head, shape, image_size):
    loss = {"loss": nn.CrossEntropyLoss()} if head is AuxiliaryClassifier else {}
    with pytest.raises(ConfigError, match="looks like N x H x W x C, not N x C x H x W"):
        head(shape=shape, num_classes=3, image_size=image_size, **loss)
    for fine in ((1, 8, 8, 8), (1, 8, 7, 7), (1, 3, 5, 7)):
        head(shape=fine, num_classes=3, image_size=(32, 32), **loss)


def test_what_is_no_feature_map_is_refused():
    with pytest.raises(ConfigError, match="its output 1 x 240 is no feature map N x C x H x W"):
        Reconstruction(shape=(1, 240), **FACTS)
    with pytest.raises(ConfigError, match="1 x 2 x 3 x 4 x 5 is no N x C x H x W, N x tokens"):
        AuxiliaryClassifier(shape=(1, 2, 3, 4, 5), loss=nn.CrossEntropyLoss(), **FACTS)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"error": "huber"}, "reconstruction.error=huber does not exist; there are mse, l1"),
        ({"downsample": 0}, "reconstruction.downsample=0 is not allowed"),
        ({"channels": 2.5}, "reconstruction.channels=2.5 is not allowed"),
    ],
)
def test_impossible_settings_are_refused(given, sentence):
    with pytest.raises(ConfigError, match=sentence):
        Reconstruction(shape=(1, 5, 4, 6), **FACTS, **given)
