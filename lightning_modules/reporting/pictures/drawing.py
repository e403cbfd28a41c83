"""Drawing by matplotlib: fonts that have the letters, names as they are, files in one piece."""

import contextlib
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datamodules.contact_sheets import drawable, font_families, missing_glyphs_allowed
from lightning_modules.errors import ConfigError
from lightning_modules.files import write_bytes

if TYPE_CHECKING:
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

FOLDER = "figures"  # of pictures, in the directory of a run or study
LONGEST = 24  # letters of a name
DOTS = 120  # pixels an inch
BLUE, LIGHT, RED, PINK, GREY = "#3b6fb6", "#9fc1e8", "#c8323c", "#eeb4b0", "#777777"


@contextlib.contextmanager
def fonts(texts: Iterable[str] = ()) -> Iterator[None]:
    """Lets figures made inside use installed fonts for letters that matplotlib's own lacks.

    A letter that no font has becomes a sign that says so, without a warning for each.

    Args:
        texts: what will be written: names of classes and runs.
    """
    from matplotlib import rc_context

    with rc_context({"font.family": font_families(texts)}), missing_glyphs_allowed():
        yield


def _drawable(text: str) -> str:
    from matplotlib import rcParams

    return drawable(text, rcParams["font.family"])


def shortened(name: str, length: int = LONGEST) -> str:
    """The name, its middle left out where it has more letters than `length`."""
    if len(name) <= length:
        return name
    end = (length - 1) // 2
    return f"{name[: length - 1 - end]}…{name[len(name) - end :]}"


def without_common(names: Sequence[str]) -> tuple[list[str], str]:
    """Dotted names without the beginning that all of them share, and that beginning.

    `a.b.c` and `a.b.d` -> [`c`, `d`], `a.b.`; a single name stays whole.
    """
    parts = [name.split(".") for name in names]
    shared = 0
    if len(names) > 1:
        while all(len(p) > shared + 1 and p[shared] == parts[0][shared] for p in parts):
            shared += 1
    return [".".join(p[shared:]) for p in parts], "".join(f"{p}." for p in parts[0][:shared])


def write_names(
    axis: "Axis",
    names: Sequence[str],
    *,
    every: int = 1,
    longest: int = LONGEST,
    **letters: Any,
) -> None:
    """Writes each (or every second, ...) name at its number; a `$` in it is a `$`."""
    places = range(0, len(names), every)
    texts = [shortened(_drawable(names[n]), longest) for n in places]
    axis.set_ticks(places, texts, parse_math=False, **letters)


def write_title(figure: "Figure", *lines: str) -> None:
    """Writes lines at the upper left, so small that the longest fits into the figure."""
    points = 72 * figure.get_figwidth()
    size = min(11.0, points / (0.65 * max(map(len, lines))))  # a letter is 0.65 as wide as high
    style = {"fontsize": size, "x": 0.02, "ha": "left", "parse_math": False}
    figure.suptitle("\n".join(map(_drawable, lines)), **style)


def to_png(figure: "Figure") -> bytes:
    """The bytes of the PNG that `save` would write."""
    return _rendered(figure, "png")


def save(figure: "Figure", path: Path) -> Path:
    """Writes a figure in the format of the path's suffix, whole or not at all.

    Raises:
        ConfigError: the file cannot be written, or no format has that suffix.
    """
    try:
        write_bytes(path, _rendered(figure, path.suffix.removeprefix(".")))
    except (OSError, ValueError) as error:  # matplotlib: an unknown format is a ValueError
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"The picture {path} cannot be written ({reason}).") from error
    return path


def _rendered(figure: "Figure", format: str) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format=format, dpi=DOTS)
    return file.getvalue()
