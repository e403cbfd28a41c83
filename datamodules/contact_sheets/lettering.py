"""Text in pictures: a font that has the letters, and text that fits the place it gets."""

from collections.abc import Sequence

from PIL import ImageDraw, ImageFont

Colour = tuple[int, int, int]

# Pillow's own font knows little beyond ASCII; the others are those of common systems, by script.
SYSTEM_FONTS = (
    "DejaVuSans.ttf",
    "arial.ttf",
    "Arial.ttf",
    "NotoSans-Regular.ttf",
    "NotoSansCJK-Regular.ttc",
    "msyh.ttc",
    "Arial Unicode.ttf",
)
NO_LETTER = "\uffff"


def load_font(size: int, characters: str = "") -> ImageFont.FreeTypeFont:
    """Pillow's font, or the installed one that knows most of `characters`.

    Args:
        size: Height of the letters, in pixels.
        characters: All that will be written with it.
    """
    best = ImageFont.load_default(size)
    unknown = _unknown(best, characters)
    for name in SYSTEM_FONTS:
        if not unknown:
            break
        try:
            font = ImageFont.truetype(name, size)
        except OSError:  # not installed
            continue
        if len(_unknown(font, characters)) < len(unknown):
            best, unknown = font, _unknown(font, characters)
    return best


def shorten(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """The text, its middle left out where it is wider than `width` pixels.

    Both ends stay, because a path tells its class at one and its number at the other.
    """
    if font.getlength(text) <= width:
        return text
    kept = len(text) - 1
    while kept > 0 and font.getlength(_without_middle(text, kept)) > width:
        kept -= 1
    return _without_middle(text, kept)


def wrap(text: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """The text in lines of at most `width` pixels; a wider word is shortened."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(shorten(word, font, width))
    return lines


def line_height(font: ImageFont.FreeTypeFont) -> int:
    """From one line to the next, in pixels."""
    return sum(font.getmetrics())


def write_lines(
    draw: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    lines: Sequence[str],
    font: ImageFont.FreeTypeFont,
    colour: Colour,
) -> None:
    """Write lines one below the other from their upper left corner on."""
    left, top = corner
    for number, line in enumerate(lines):
        draw.text((left, top + number * line_height(font)), line, fill=colour, font=font)


def _without_middle(text: str, kept: int) -> str:
    return f"{text[: (kept + 1) // 2]}…{text[len(text) - kept // 2 :]}"


def _unknown(font: ImageFont.FreeTypeFont, characters: str) -> set[str]:
    nothing = bytes(font.getmask(NO_LETTER))
    return {c for c in set(characters) if not c.isspace() and bytes(font.getmask(c)) == nothing}
