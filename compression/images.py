"""What images a network takes: how many channels, as which numbers, between which values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from compression.errors import CompressionError
from compression.schema import height_width


@dataclass(frozen=True, kw_only=True)
class ImageKind:
    """The kind of images that a network takes; by default raw pixels.

    Attributes:
        channels: 1 of grey images, 3 of colored ones.
        dtype: uint8 of raw pixels.
        low: the smallest value.
        high: the largest value.
    """

    channels: int = 3
    dtype: torch.dtype = torch.uint8
    low: float = 0.0
    high: float = 255.0

    @classmethod
    def of(cls, sample: Tensor) -> Self:
        """The kind of a batch N x C x H x W; raw pixels are 0..255, whatever the batch holds."""
        if sample.dtype == torch.uint8:
            return cls(channels=sample.shape[1])
        low, high = (0.0, 1.0) if sample.is_meta else map(float, sample.aminmax())
        return cls(channels=sample.shape[1], dtype=sample.dtype, low=low, high=high)

    def random(self, image_size: int | Sequence[int], batch: int = 1, *, seed: int = 0) -> Tensor:
        """Noise of this kind, batch x C x H x W, the same for the same seed.

        Args:
            image_size: an int or [height, width] in pixels.
            batch: number of images.
            seed: of the noise.
        """
        size = (batch, self.channels, *height_width(image_size))
        generator = torch.Generator().manual_seed(seed)
        if not self.dtype.is_floating_point:
            return torch.randint(
                int(self.low), int(self.high) + 1, size, generator=generator, dtype=self.dtype
            )
        noise = torch.rand(size, generator=generator)
        return (self.low + (self.high - self.low) * noise).to(self.dtype)


RAW_PIXELS = ImageKind()


def check_shape(
    shape: Sequence[int],
    *,
    channels: int,
    image_size: Sequence[int] | None,
    what: str = "The network",
    advice: str = "",
) -> None:
    """Refuses images that a network was not made for, which it might answer for all the same.

    Args:
        shape: of the images.
        channels: that it takes.
        image_size: (height, width) in pixels that it takes; None: any.
        what: the network, in a sentence.
        advice: what to do about another size, besides resizing the images.

    Raises:
        CompressionError: they are not N x channels x height x width.
    """
    if len(shape) != 4 or shape[1] != channels:
        raise CompressionError(
            f"{what} takes a batch of images, N x {channels} x H x W, not "
            f"{' x '.join(map(str, shape))}."
        )
    if image_size is not None and tuple(shape[2:]) != tuple(image_size):
        sizes = [" x ".join(map(str, size)) for size in (image_size, shape[2:])]
        raise CompressionError(
            f"{what} takes images of {sizes[0]} pixels (H x W), not {sizes[1]}: resize them"
            f"{', or ' + advice if advice else ''}."
        )
