"""Contact sheets: many pictures with captions on one page, for a person to look through."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from datamodules.errors import DataError
from datamodules.lettering import load_font, shorten, wrap

Colour = tuple[int, int, int]
PAPER, INK, GREY = (255, 255, 255), (30, 30, 30), (110, 110, 110)
RED, ORANGE = (200, 30, 40), (225, 130, 0)

TITLE, HEADING, CAPTION = 20, 15, 13  # height of letters, in pixels
MARGIN, GAP, WIDE_GAP, FRAME = 16, 12, 30, 4  # around the page; between pictures, sections
HEADING_GAP = 4
LEAST_WIDTH = 560  # room for a title above a few pictures


@dataclass(frozen=True)
class Tile:
    """One picture: uint8 h x w x 3, lines of text below it, and the colour of its frame."""

    image: np.ndarray
    caption: Sequence[str] = ()
    frame: Colour | None = None


@dataclass(frozen=True)
class Section:
    """Pictures that belong together, below a heading (none where it is empty)."""

    tiles: Sequence[Tile]
    heading: str = ""


def contact_sheet(
    sections: Sequence[Section], *, title: str, columns: int = 6, side: int = 160
) -> Image.Image:
    """Draw a page of pictures.

    Small pictures are enlarged by a whole factor, so that one sees their very pixels; large ones
    are reduced. Captions too wide for their picture lose their middle, headings and the title go
    on in the next line.

    Args:
        sections: What is shown; short ones stand side by side where there is room.
        title: Above everything.
        columns: Pictures in a row, at most.
        side: Longest side of a shown picture, in pixels.
    """
    letters = "".join([title, *map(_text, sections)])
    fonts = {size: load_font(size, letters) for size in (TITLE, HEADING, CAPTION)}
    blocks = [_Block(section, columns, side, fonts) for section in sections if section.tiles]
    bands = list(_bands(blocks, columns))
    width = max([LEAST_WIDTH, *(sum(b.width for b in band) + _gaps(band) for band in bands)])
    head = wrap(title, fonts[TITLE], width)
    top = MARGIN + len(head) * _line_height(fonts[TITLE]) + GAP
    heights = [max(block.height for block in band) for band in bands]
    page = Image.new("RGB", (width + 2 * MARGIN, top + sum(heights) + MARGIN), PAPER)
    draw = ImageDraw.Draw(page)
    _write_lines(draw, (MARGIN, MARGIN), head, fonts[TITLE])
    for band, height in zip(bands, heights, strict=True):
        left = MARGIN
        for block in band:
            block.draw(page, draw, (left, top))
            left += block.width + WIDE_GAP
        top += height
    return page


def save_contact_sheet(
    path: str | Path,
    sections: Sequence[Section],
    *,
    title: str,
    columns: int = 6,
    side: int = 160,
) -> Path:
    """Draw a page of pictures and write it as PNG, whole or not at all.

    Raises:
        DataError: the file cannot be written.
    """
    path = Path(path)
    page = contact_sheet(sections, title=title, columns=columns, side=side)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        page.save(beside, format="PNG")
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        reason = error.strerror or error
        raise DataError(f"The picture {path} cannot be written ({reason}).") from error
    return path


class _Block:
    """One section as it is drawn: heading, then rows of pictures over captions."""

    def __init__(
        self,
        section: Section,
        columns: int,
        side: int,
        fonts: dict[int, ImageFont.FreeTypeFont],
    ) -> None:
        self.columns = min(columns, len(section.tiles))
        self.side = side
        self.fonts = fonts
        self.width = self.columns * (side + GAP) - GAP
        self.heading = wrap(section.heading, fonts[HEADING], self.width)
        starts = range(0, len(section.tiles), self.columns)
        self.rows = [section.tiles[start : start + self.columns] for start in starts]

    @cached_property
    def height(self) -> int:
        return self._heading_height + sum(map(self._row_height, self.rows)) + GAP

    def draw(self, page: Image.Image, draw: ImageDraw.ImageDraw, corner: tuple[int, int]) -> None:
        _write_lines(draw, corner, self.heading, self.fonts[HEADING])
        left, top = corner[0], corner[1] + self._heading_height
        for row in self.rows:
            bottom = top + self._picture_height(row)
            for column, tile in enumerate(row):
                self._draw_tile(page, draw, (left + column * (self.side + GAP), bottom), tile)
            top += self._row_height(row)

    def _draw_tile(
        self, page: Image.Image, draw: ImageDraw.ImageDraw, corner: tuple[int, int], tile: Tile
    ) -> None:
        """One picture, whose lower left corner is given, and its caption below."""
        left, bottom = corner
        picture = _shown(tile.image, self.side)
        place = (left, bottom - picture.height)
        page.paste(picture, place)
        if tile.frame:
            ends = (left + picture.width - 1, bottom - 1)
            draw.rectangle((*place, *ends), outline=tile.frame, width=FRAME)
        lines = [shorten(line, self.fonts[CAPTION], self.side) for line in tile.caption]
        top = _write_lines(draw, (left, bottom + 2), lines[:1], self.fonts[CAPTION])
        _write_lines(draw, (left, top), lines[1:], self.fonts[CAPTION], GREY)

    @property
    def _heading_height(self) -> int:
        lines = len(self.heading)
        return lines * _line_height(self.fonts[HEADING]) + (HEADING_GAP if lines else 0)

    def _picture_height(self, row: Sequence[Tile]) -> int:
        return max(_shown_size(tile.image, self.side)[1] for tile in row)

    def _row_height(self, row: Sequence[Tile]) -> int:
        lines = max(len(tile.caption) for tile in row)
        return self._picture_height(row) + 2 + lines * _line_height(self.fonts[CAPTION]) + GAP


def _bands(blocks: Sequence[_Block], columns: int) -> Iterator[list[_Block]]:
    """Blocks that stand side by side, in order."""
    band: list[_Block] = []
    for block in blocks:
        if band and sum(b.columns for b in band) + block.columns > columns:
            yield band
            band = []
        band.append(block)
    if band:
        yield band


def _gaps(band: Sequence[_Block]) -> int:
    return WIDE_GAP * (len(band) - 1)


def _text(section: Section) -> str:
    return section.heading + "".join(line for tile in section.tiles for line in tile.caption)


def _write_lines(
    draw: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    lines: Sequence[str],
    font: ImageFont.FreeTypeFont,
    colour: Colour = INK,
) -> int:
    """Write one line below the other; returns where the next would begin."""
    left, top = corner
    for line in lines:
        draw.text((left, top), line, fill=colour, font=font)
        top += _line_height(font)
    return top


def _line_height(font: ImageFont.FreeTypeFont) -> int:
    return sum(font.getmetrics())


def _shown(image: np.ndarray, side: int) -> Image.Image:
    size = _shown_size(image, side)
    enlarged = size[0] >= image.shape[1]
    how = Image.Resampling.NEAREST if enlarged else Image.Resampling.LANCZOS
    return Image.fromarray(image).resize(size, how)


def _shown_size(image: np.ndarray, side: int) -> tuple[int, int]:
    """(width, height) in which a picture is drawn."""
    height, width = image.shape[:2]
    longest = max(height, width)
    if longest <= side:
        factor = side // longest
        return width * factor, height * factor
    return max(1, round(width * side / longest)), max(1, round(height * side / longest))
