"""A whole network: raw pixels in, logits out; its first layer normalises."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from compression.errors import CompressionError
from compression.images import check_shape
from compression.outputs import main_output
from compression.recipe import Recipe
from compression.schema import height_width
from lightning_modules.errors import ConfigError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Pixels(nn.Module):
    """(scale x / 255 - mean) / std, so that no preprocessing can be forgotten at inference.

    Args:
        mean: of each channel, for values in 0..`scale`.
        std: of each channel, for values in 0..`scale`.
        scale: of a white pixel before that: 1, or 255 for statistics of such values (Caffe's).
        normalize: false leaves mean and deviation to the network: it gets 0..`scale`.
        channel_order: of the colors, which is that of mean and std too: rgb or bgr (OpenCV's).
        resize_to: an int or [height, width] in pixels for a network that wants another size than
            the images have; bilinear with antialiasing.

    Raises:
        ConfigError: not three means and three positive deviations, means that are no values in
            0..`scale`, or an impossible size.
    """

    mean: Tensor  # 1 x 3 x 1 x 1
    std: Tensor  # 1 x 3 x 1 x 1

    def __init__(
        self,
        *,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        scale: float = 1,
        normalize: bool = True,
        channel_order: Literal["rgb", "bgr"] = "rgb",
        resize_to: int | Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        if not normalize:
            mean, std = (0.0,) * 3, (1.0,) * 3
        if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
            raise ConfigError(
                f"model.mean and model.std are three numbers each, std above 0, not {mean} and "
                f"{std}."
            )
        if max(mean) > scale:
            raise ConfigError(
                f"model.mean={list(mean)} is no mean of values in 0..{scale}; where the "
                "statistics are those of pixels in 0..255, say so with model.scale=255."
            )
        try:
            self.resize_to = None if resize_to is None else height_width(resize_to)
        except CompressionError as error:
            raise ConfigError(f"model.input_size: {error}") from None
        self.white = 255 / scale
        self.turns = channel_order == "bgr"
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """uint8 or floating RGB N x 3 x H x W in 0..255 -> floating N x 3 x H x W."""
        pixels = images.to(self.mean.dtype)
        if self.resize_to is not None and tuple(pixels.shape[-2:]) != self.resize_to:
            pixels = interpolate(pixels, self.resize_to, mode="bilinear", antialias=True)
        if self.turns:
            pixels = pixels.flip(1)
        # Scale and shift are six numbers: only two passes over the images.
        return (pixels - self.white * self.mean) / (self.white * self.std)


def to_channels_last(network: nn.Module) -> None:
    """Put the tensors of N x C x H x W into channels-last order; others have no such order."""
    for tensor in (*network.parameters(), *network.buffers()):
        if tensor.ndim == 4:
            tensor.data = tensor.data.contiguous(memory_format=torch.channels_last)


class Network(nn.Module):
    """`pixels`, which normalises, then `body`, which classifies.

    Args:
        pixels: the input layer.
        body: normalised N x 3 x H x W -> logits N x `num_classes`, or a tuple, mapping or data
            class that has them among auxiliary outputs.
        num_classes: number of logits.
        image_size: (height, width) in pixels of the images it is made for.
        class_names: in the order of the logits, once the data is known.

    Attributes:
        any_size: whether images of other sizes than `image_size` are taken in eval mode, too. True
            while it is built and trained; false of a loaded network, unless it is wanted so or the
            network resizes by itself.
        levels: bits in use in samples of more than 8, in the images it was trained on; None: all
            16, or there were none.
    """

    def __init__(
        self,
        *,
        pixels: Pixels,
        body: nn.Module,
        num_classes: int,
        image_size: tuple[int, int],
        class_names: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        self.pixels = pixels
        self.body = body
        self.num_classes = num_classes
        self.image_size = image_size
        self.class_names = None if class_names is None else tuple(class_names)
        self.model_cfg: dict[str, Any] = {}  # the node that it was built from
        self.any_size = True
        self.levels: int | None = None
        self.recipe = Recipe()  # what was done to it since
        self.new_tensors: list[str] = []  # of the body, that its weights file did not hold

    def forward(self, images: Tensor) -> Tensor:
        """uint8 (or floating, 0..255) N x 3 x H x W -> logits N x classes.

        Raises:
            CompressionError: the images have other channels, or another size than they may have.
        """
        if not torch.compiler.is_compiling():  # nor exporting: a graph holds no checks
            self._check(images)
        return main_output(self.body(self.pixels(images)))

    def _check(self, images: Tensor) -> None:
        free = self.any_size or self.training or self.pixels.resize_to is not None
        check_shape(
            images.shape,
            channels=self.pixels.mean.shape[1],
            image_size=None if free or images.is_meta else self.image_size,
            advice="load it with any_size=True",
        )
