"""Contact sheets: many pictures with captions on one page, for a person to look through."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from datamodules.contact_sheets.fonts import missing_glyphs_allowed
from datamodules.contact_sheets.text import DPI, line_height, load_font, wrap, write_lines
from datamodules.contact_sheets.tile import INK, Tile
from datamodules.errors import DataError
from datamodules.files import written_beside

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE, HEADING, CAPTION = 20, 15, 13  # height of letters, in pixels
MARGIN, GAP, WIDE_GAP, HEADING_GAP = 16, 12, 30, 4  # around the page; between tiles, sections
MIN_WIDTH = 560  # room for a title above a few pictures
MAX_PIXELS = 2**27  # of a page: half a gigabyte, and about 3 000 pictures


@dataclass(frozen=True)
class Section:
    """Pictures that belong together, below a heading (none where it is empty)."""

    tiles: Sequence[Tile]
    heading: str = ""


def contact_sheet(
    sections: Sequence[Section], *, title: str, columns: int = 6, side: int = 160
) -> Image.Image:
    """Draw a page of pictures.

    Nothing overlaps or is cut: captions too wide for their picture lose their middle, headings
    and the title go on in the next line.

    Args:
        sections: what is shown; short ones stand side by side where there is room.
        title: above everything.
        columns: pictures in a row, at most.
        side: longest side of a shown picture, in pixels.

    Raises:
        DataError: the page would be too large to be looked at, and for the memory.
    """
    with missing_glyphs_allowed():
        blocks = [_Block(section, columns, side) for section in sections if section.tiles]
        bands = list(_bands(blocks, columns))
        width = max([MIN_WIDTH, *map(_width, bands)])
        font = load_font(TITLE, [title])
        head = wrap(title, font, width)
        top = MARGIN + len(head) * line_height(font) + GAP
        heights = [max(block.height for block in band) for band in bands]
        page = _blank_page(width + 2 * MARGIN, top + sum(heights) + MARGIN)
        write_lines(page, (MARGIN, MARGIN), head, font, INK)
        for band, height in zip(bands, heights, strict=True):
            left = MARGIN
            for block in band:
                block.draw(page, (left, top))
                left += block.width + WIDE_GAP
            top += height
        return _rendered(page)


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
    try:
        with written_beside(path) as beside:
            page.save(beside, format="PNG")
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"The picture {path} cannot be written ({reason}).") from error
    return path


class _Block:
    """One section as it is drawn: heading, then rows of tiles, their pictures' feet in line."""

    def __init__(self, section: Section, columns: int, side: int) -> None:
        self.columns = min(columns, len(section.tiles))
        self.side = side
        self.width = self.columns * (side + GAP) - GAP
        self.heading_font = load_font(HEADING, [section.heading])
        self.font = load_font(CAPTION, [line for tile in section.tiles for line in tile.caption])
        self.heading = wrap(section.heading, self.heading_font, self.width)
        starts = range(0, len(section.tiles), self.columns)
        self.rows = [section.tiles[start : start + self.columns] for start in starts]

    @property
    def height(self) -> int:
        return self._heading_height + sum(map(self._row_height, self.rows)) + GAP

    def draw(self, page: "Figure", corner: tuple[int, int]) -> None:
        """Draw it from its upper left corner on."""
        write_lines(page, corner, self.heading, self.heading_font, INK)
        left, top = corner[0], corner[1] + self._heading_height
        for row in self.rows:
            bottom = top + self._picture_height(row)
            for column, tile in enumerate(row):
                place = (left + column * (self.side + GAP), bottom)
                tile.draw(page, place, side=self.side, font=self.font)
            top += self._row_height(row)

    @property
    def _heading_height(self) -> int:
        lines = len(self.heading)
        return lines * line_height(self.heading_font) + (HEADING_GAP if lines else 0)

    def _picture_height(self, row: Sequence[Tile]) -> int:
        return max(tile.size(self.side)[1] for tile in row)

    def _row_height(self, row: Sequence[Tile]) -> int:
        caption = max(tile.caption_height(self.font) for tile in row)
        return self._picture_height(row) + caption + GAP


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


def _width(band: Sequence[_Block]) -> int:
    return sum(block.width for block in band) + WIDE_GAP * (len(band) - 1)


def _blank_page(width: int, height: int) -> "Figure":
    """A white page of so many pixels; of matplotlib's objects, so that no style gets in."""
    from matplotlib.figure import Figure

    if width * height > MAX_PIXELS:
        raise DataError(
            f"A contact sheet of {width} x {height} pixels is too large: show fewer pictures."
        )
    return Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white", linewidth=0)


def _rendered(page: "Figure") -> Image.Image:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(page)
    canvas.draw()
    levels = np.asarray(canvas.buffer_rgba())[..., :3]  # H x W x 3; all of it is opaque
    return Image.fromarray(np.ascontiguousarray(levels))
