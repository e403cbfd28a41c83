"""Reconstruction: a feature map that keeps enough of the image to draw it again."""

import math
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from lightning_modules.errors import ConfigError
from lightning_modules.training.auxiliary.feature_map import check_map, in_words
from lightning_modules.training.auxiliary.schema import check_decoder

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
        error: str = "mse",
        downsample: int = 2,
        channels: int = 32,
    ) -> None:
        super().__init__()
        check_decoder({"error": error, "downsample": downsample, "channels": channels})
        if len(shape) != 4:
            raise ConfigError(f"its output {in_words(shape)} is no feature map N x C x H x W.")
        check_map(shape, image_size)
        self.size = tuple(max(1, side // downsample) for side in image_size)
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
