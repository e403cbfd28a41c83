"""Text on a page of matplotlib that fits its place.

All lengths are pixels of the page, whose origin is its upper left corner.
"""

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from datamodules.contact_sheets.fonts import drawable, font_families

if TYPE_CHECKING:
    from matplotlib.backends.backend_agg import RendererAgg
    from matplotlib.figure import Figure
    from matplotlib.font_manager import FontProperties

Color = tuple[int, int, int]  # red, green, blue in 0..255

DPI = 64  # a power of two: whole numbers of pixels stay whole when they are said in inches
POINTS = 72 / DPI  # of a pixel
ASCENT, LEADING = 0.95, 1.25  # of the letters' height: up to the baseline, and to the next line


@dataclass(frozen=True)
class Font:
    """A font of one size, and what measures text that is written with it."""

    size: int
    families: list[str]
    properties: "FontProperties"
    renderer: "RendererAgg"

    def width(self, text: str) -> float:
        """Of one line, in pixels."""
        if not text:
            return 0.0
        width, _, _ = self.renderer.get_text_width_height_descent(
            text, self.properties, ismath=False
        )
        return width


def load_font(size: int, texts: Iterable[str] = ()) -> Font:
    """Matplotlib's font, and for letters that it lacks the installed ones.

    Args:
        size: height of the letters, in pixels.
        texts: what is to be written.
    """
    from matplotlib.backends.backend_agg import RendererAgg
    from matplotlib.font_manager import FontProperties

    families = font_families(texts)
    properties = FontProperties(family=families, size=size * POINTS)
    return Font(size, families, properties, RendererAgg(1, 1, DPI))


def shorten(text: str, font: Font, width: float) -> str:
    """The text, its middle left out where it is wider than `width` pixels.

    Both ends stay, because a path tells its class at one and its number at the other. What cannot
    be printed, such as a new line in a file's name, and letters that the font lacks become a sign
    that says so.
    """
    text = drawable(text, font.families)
    if font.width(text) <= width:
        return text
    lengths = range(len(text))
    kept = bisect_right(lengths, width, key=lambda n: font.width(_without_middle(text, n))) - 1
    while kept > 0 and font.width(_without_middle(text, kept)) > width:  # a pair that is kerned
        kept -= 1
    return _without_middle(text, max(kept, 0))


def wrap(text: str, font: Font, width: float) -> list[str]:
    """The text in lines of at most `width` pixels; a wider word is shortened."""
    lines: list[str] = []
    for word in (drawable(word, font.families) for word in text.split()):
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.width(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(shorten(word, font, width))
    return lines


def line_height(font: Font) -> int:
    """From one line to the next, in pixels."""
    return math.ceil(font.size * LEADING)


def write_lines(
    page: "Figure", corner: tuple[int, int], lines: Sequence[str], font: Font, color: Color
) -> None:
    """Write lines one below the other from their upper left corner on."""
    left, top = corner
    height = page.bbox.height
    for number, line in enumerate(lines):
        baseline = top + number * line_height(font) + round(font.size * ASCENT)
        page.text(
            left,
            height - baseline,
            line,
            transform=None,  # pixels, from the lower left corner
            fontproperties=font.properties,
            color=[level / 255 for level in color],
            verticalalignment="baseline",
            parse_math=False,
            usetex=False,
        )


def _without_middle(text: str, kept: int) -> str:
    return f"{text[: (kept + 1) // 2]}…{text[len(text) - kept // 2 :]}"
