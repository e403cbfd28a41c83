"""One picture of a contact sheet, with its caption."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from datamodules.contact_sheets.lettering import Colour, line_height, shorten, write_lines

INK, GREY, RED, ORANGE = (30, 30, 30), (110, 110, 110), (200, 30, 40), (225, 130, 0)
FRAME = 4  # its width, in pixels
CAPTION_GAP = 2  # between a picture and its caption


@dataclass(frozen=True)
class Tile:
    """One picture: uint8 h x w x 3, lines of text below it, and the colour of its frame."""

    image: np.ndarray
    caption: Sequence[str] = ()
    frame: Colour | None = None

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

    def caption_height(self, font: ImageFont.FreeTypeFont) -> int:
        """Of the caption and the space above it, in pixels."""
        return CAPTION_GAP + len(self.caption) * line_height(font)

    def draw(
        self,
        page: Image.Image,
        corner: tuple[int, int],
        *,
        side: int,
        font: ImageFont.FreeTypeFont,
    ) -> None:
        """Draw the picture above and the caption below a point, which is its lower left corner.

        Lines wider than `side` lose their middle.
        """
        left, bottom = corner
        width, height = self.size(side)
        enlarged = width >= self.image.shape[1]
        how = Image.Resampling.NEAREST if enlarged else Image.Resampling.LANCZOS
        page.paste(
            Image.fromarray(self.image).resize((width, height), how), (left, bottom - height)
        )
        draw = ImageDraw.Draw(page)
        if self.frame:
            box = (left, bottom - height, left + width - 1, bottom - 1)
            draw.rectangle(box, outline=self.frame, width=FRAME)
        first, *others = [shorten(line, font, side) for line in self.caption] or [""]
        top = bottom + CAPTION_GAP
        write_lines(draw, (left, top), [first], font, INK)
        write_lines(draw, (left, top + line_height(font)), others, font, GREY)
