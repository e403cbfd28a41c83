"""Auxiliary heads: what an inner output already knows of the classes, or of the image."""

import math
from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from lightning_modules.errors import ConfigError
from lightning_modules.training.auxiliary.schema import ReconstructionSettings


class AuxiliaryClassifier(nn.Module):
    """Global average pooling, a Linear and a loss of its own, on one module's output.

    Its gradient reaches the early layers directly (Szegedy et al. 2015, "Going Deeper with
    Convolutions", section 5; Lee et al. 2015, "Deeply-Supervised Nets").

    Args:
        shape: of the output for one image: 1 x C x H x W, 1 x tokens x C, or 1 x C.
        num_classes: number of classes.
        image_size: (height, width) in pixels.
        loss: (logits N x classes, targets) -> scalar.

    Raises:
        ConfigError: an output of another shape.
    """

    def __init__(
        self,
        *,
        shape: Sequence[int],
        num_classes: int,
        image_size: tuple[int, int],
        loss: nn.Module,
    ) -> None:
        super().__init__()
        if len(shape) == 4:
            check_map(shape, image_size)
        elif len(shape) not in (2, 3):
            raise ConfigError(
                f"its output {in_words(shape)} is no N x C x H x W, N x tokens x C or N x C."
            )
        self.linear = nn.Linear(shape[2] if len(shape) == 3 else shape[1], num_classes)
        self.loss = loss

    def forward(self, feature: Tensor, images: Tensor, targets: Tensor) -> Tensor:
        """The module's output, the batch and its targets -> scalar."""
        pooled = {2: (), 3: (1,), 4: (2, 3)}[feature.ndim]
        return self.loss(self.linear(feature.mean(pooled) if pooled else feature), targets)


LOSSES = {"mse": functional.mse_loss, "l1": functional.l1_loss}


class Reconstruction(nn.Module):
    """A small decoder from one feature map to the input's pixels, and its error.

    3x3 convolutions with BatchNorm and ReLU, between them doublings up to the target's size; the
    target are the pixels in 0..1, averaged down (Zhang et al. 2016, "Augmenting Supervised Neural
    Networks with Unsupervised Objectives for Large-scale Image Classification").

    Args:
        shape: of the feature map for one image, 1 x C x H x W.
        num_classes: not looked at.
        image_size: (height, width) in pixels.
        error: mse or l1, the mean over all values.
        downsample: side of the image relative to that of the target, from 1.
        channels: of the decoder's convolutions.

    Raises:
        ConfigError: a setting is impossible, or the module gives no feature map.
    """

    def __init__(
        self,
        *,
        shape: Sequence[int],
        num_classes: int,
        image_size: tuple[int, int],
        error: Literal["mse", "l1"] = "mse",
        downsample: int = 2,
        channels: int = 32,
    ) -> None:
        super().__init__()
        ReconstructionSettings(error=error, downsample=downsample, channels=channels)
        if len(shape) != 4:
            raise ConfigError(f"its output {in_words(shape)} is no feature map N x C x H x W.")
        check_map(shape, image_size)
        height, width = image_size
        self.size = (max(1, height // downsample), max(1, width // downsample))
        self.error = LOSSES[error]
        grows = min(goal / side for goal, side in zip(self.size, shape[2:], strict=True))
        layers = [*_layer(shape[1], channels)]
        for _ in range(max(0, math.floor(math.log2(grows)))):
            layers += [nn.Upsample(scale_factor=2), *_layer(channels, channels)]
        self.decoder = nn.Sequential(*layers, nn.Conv2d(channels, 3, 3, padding=1))

    def forward(self, feature: Tensor, images: Tensor, targets: Tensor) -> Tensor:
        """The feature map, images N x 3 x H x W in 0..255 and their targets -> scalar."""
        drawn = functional.interpolate(self.decoder(feature).float(), self.size, mode="bilinear")
        wanted = functional.adaptive_avg_pool2d(images.float() / 255, self.size)
        return self.error(drawn, wanted)  # both N x 3 x H/d x W/d


def _layer(in_channels: int, out_channels: int) -> list[nn.Module]:
    conv = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
    return [conv, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True)]


def check_map(shape: Sequence[int], image_size: tuple[int, int]) -> None:
    """Refuses a four-dimensional output whose channels come last, as Swin's do.

    Only the second and third dimension then have the image's proportions.

    Args:
        shape: 1 x C x H x W of the output for one image.
        image_size: (height, width) in pixels of that image.

    Raises:
        ConfigError: it looks like N x H x W x C.
    """
    _, a, b, c = shape
    if _proportional(a, b, image_size) and not _proportional(b, c, image_size):
        raise ConfigError(
            f"its output {in_words(shape)} looks like N x H x W x C, not N x C x H x W."
        )


def in_words(shape: Sequence[int]) -> str:
    """Such as `1 x 60 x 8 x 8`."""
    return " x ".join(map(str, shape))


def _proportional(rows: int, columns: int, image_size: tuple[int, int]) -> bool:
    """Up to the rounding of one row or column."""
    height, width = image_size
    return abs(rows * width - columns * height) <= max(height, width)
