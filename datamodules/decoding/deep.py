"""An image with more than 8 bits in a sample, before the rule of its data set makes 8 of them."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from datamodules.decoding.levels import ALL_BITS, LevelRange, to_8_bits, white


@dataclass(frozen=True)
class DeepImage:
    """An image with more than 8 bits in a sample.

    Attributes:
        levels: integers from 0 on, H x W or H x W x channels.
        mode: of the picture of 8 bits, as Pillow names it; the last channel of RGBA is opacity.
        declared: bits that its header says to be in use; 0: it does not say.
        full: bits that a sample can hold: 16, of signed ones 15.
        inverted: whether 0 is white.
        transparent: the level, or the three, that mean transparency.
    """

    levels: np.ndarray
    mode: str
    declared: int = 0
    full: int = ALL_BITS
    inverted: bool = False
    transparent: int | tuple[int, ...] | None = None

    @property
    def range(self) -> LevelRange:
        """What it shows of the bits in use."""
        return LevelRange(int(self._colors.max()).bit_length(), self.declared, self.full)

    def exceeds(self, bits: int) -> bool:
        """Whether it has levels above their white."""
        return bool(self._colors.max() > white(bits))

    def to_image(self, bits: int) -> Image.Image:
        """The picture of 8 bits, where so many are in use.

        Raises:
            ValueError: levels are negative, or need more than 16 bits.
        """
        low, high = self._colors.min(), self._colors.max()
        if low < 0 or high > white(ALL_BITS):
            raise ValueError(f"its levels are {low:g}..{high:g} instead of 0..{white(ALL_BITS)}")
        levels = to_8_bits(self.levels, bits)
        if self.inverted:
            levels = to_8_bits(white(bits) - np.minimum(self.levels, white(bits)), bits)
        image = Image.frombytes(self.mode, levels.shape[1::-1], levels.tobytes())
        if self.transparent is not None:
            opaque = np.atleast_3d(self.levels) != self.transparent
            image.putalpha(Image.fromarray(opaque.any(-1).astype(np.uint8) * 255))
        return image

    @property
    def _colors(self) -> np.ndarray:
        return self.levels[..., :-1] if self.mode in ("LA", "RGBA") else self.levels
