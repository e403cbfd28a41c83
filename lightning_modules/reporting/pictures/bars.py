"""A picture of where a network's MACs are: one labelled bar for each block."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from lightning_modules.errors import ConfigError
from lightning_modules.networks.overview import Row

LINE, FONT, BAR = 22, 14, 420  # pixels: height of a row, of its letters, length of the longest bar
GAP = 12
INK, BLUE, PAPER = (40, 40, 40), (66, 112, 178), (255, 255, 255)


def save_bars(rows: Sequence[Row], path: str | Path, *, title: str) -> Path:
    """Draw the rows' MACs as bars and write them to `path`, in the format of its suffix.

    Rows without MACs are left out.

    Raises:
        ConfigError: no picture format has that suffix, or the folder cannot be written to.
    """
    font = ImageFont.load_default(size=FONT)
    rows = [row for row in rows if row.macs]
    names = [f"{row.name}  {row.kind}".strip() for row in rows]
    values = [row.macs for row in rows]
    total, longest = max(sum(values), 1), max([*values, 1])
    notes = [f"{value:,}  {value / total:.1%}" for value in values]
    left = 2 * GAP + max(map(int, map(font.getlength, names)), default=0)
    right = 2 * GAP + max(map(int, map(font.getlength, notes)), default=0)
    width = max(left + BAR + right, 2 * GAP + int(font.getlength(title)))
    picture = Image.new("RGB", (width, GAP * 2 + LINE * (len(rows) + 1)), PAPER)
    draw = ImageDraw.Draw(picture)
    draw.text((GAP, GAP), title, fill=INK, font=font)
    for place, (name, value, note) in enumerate(zip(names, values, notes, strict=True), start=1):
        top = GAP + place * LINE
        end = left + round(BAR * value / longest)
        draw.text((left - GAP, top), name, fill=INK, font=font, anchor="ra")
        draw.rectangle((left, top, max(end, left + 1), top + LINE - 6), fill=BLUE)
        draw.text((end + GAP, top), note, fill=INK, font=font)
    return _write(picture, Path(path))


def _write(picture: Image.Image, path: Path) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path)
    except (ValueError, OSError) as error:  # pillow: an unknown suffix is a ValueError
        raise ConfigError(f"The picture {path} cannot be written: {error}.") from error
    return path
