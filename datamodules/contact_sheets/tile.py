"""One picture of a contact sheet, with its caption."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from datamodules.contact_sheets.text import (
    POINTS,
    Color,
    Font,
    line_height,
    shorten,
    write_lines,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, GRAY, RED, ORANGE = (30, 30, 30), (110, 110, 110), (200, 30, 40), (225, 130, 0)
FRAME = 4  # its width, in pixels
CAPTION_GAP = 2  # between a picture and its caption


@dataclass(frozen=True)
class Tile:
    """One picture: uint8 h x w x 3, lines of text below it, and the color of its frame."""

    image: np.ndarray
    caption: Sequence[str] = ()
    frame: Color | None = None

    def size(self, side: int) -> tuple[int, int]:
        """(width, height) in which the picture is drawn, its longest side at most `side`.

        Small pictures are enlarged by a whole factor, so that one sees their very pixels.
        """
        height, width = self.image.shape[:2]
        longest = max(height, width)
        if longest <= side:
            factor = side // longest
            return width * factor, height * factor
        return max(1, round(width * side / longest)), max(1, round(height * side / longest))

    def pixels(self, side: int) -> np.ndarray:
        """The picture in the size in which it is drawn: uint8 H x W x 3."""
        width, height = self.size(side)
        enlarged = width >= self.image.shape[1]
        how = Image.Resampling.NEAREST if enlarged else Image.Resampling.LANCZOS
        return np.asarray(Image.fromarray(self.image).resize((width, height), how))

    def caption_height(self, font: Font) -> int:
        """Of the caption and the space above it, in pixels."""
        return CAPTION_GAP + len(self.caption) * line_height(font)

    def draw(self, page: "Figure", corner: tuple[int, int], *, side: int, font: Font) -> None:
        """Draw the picture above and the caption below a point, which is its lower left corner.

        Lines wider than `side` lose their middle. The point is given from the page's upper left.
        """
        left, bottom = corner
        pixels = self.pixels(side)
        foot = round(page.bbox.height) - bottom  # matplotlib counts from below
        page.figimage(pixels, left, foot, origin="upper")
        if self.frame:
            _draw_frame(page, (left, foot), pixels.shape[1::-1], self.frame)
        first, *others = [shorten(line, font, side) for line in self.caption] or [""]
        top = bottom + CAPTION_GAP
        write_lines(page, (left, top), [first], font, INK)
        write_lines(page, (left, top + line_height(font)), others, font, GRAY)


def _draw_frame(
    page: "Figure", corner: tuple[int, int], size: tuple[int, ...], color: Color
) -> None:
    """Along the inside of a picture's edge; `corner` is its lower left one, from below."""
    from matplotlib.patches import Rectangle
    from matplotlib.transforms import IdentityTransform

    middle = FRAME / 2  # of the line
    page.add_artist(
        Rectangle(
            (corner[0] + middle, corner[1] + middle),
            size[0] - FRAME,
            size[1] - FRAME,
            fill=False,
            edgecolor=[level / 255 for level in color],
            linewidth=FRAME * POINTS,
            joinstyle="miter",
            antialiased=False,
            transform=IdentityTransform(),
        )
    )
