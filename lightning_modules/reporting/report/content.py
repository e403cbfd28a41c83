"""What a page is made of: tables and pictures."""

import base64
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from lightning_modules.errors import ConfigError
from lightning_modules.reporting.pictures.drawing import to_png

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Table:
    """Text in rows and columns.

    Attributes:
        caption: above it.
        headings: of the columns.
        rows: as many cells each as there are headings.
        words: numbers of the columns that hold words; the others hold numbers.
        last: the row below a line at the end, such as a sum.
    """

    caption: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: frozenset[int] = frozenset({0})
    last: Sequence[str] | None = None


@dataclass(frozen=True)
class Picture:
    """A PNG that a page carries inside.

    Attributes:
        png: the file's bytes.
        alt: what it shows, in words.
        photographs: whether it has photographs, whose colours must stay on a dark page.
    """

    png: bytes
    alt: str
    photographs: bool = False

    @classmethod
    def of_file(cls, path: Path, alt: str, *, photographs: bool = False) -> Self:
        """A picture that lies on disk.

        Raises:
            ConfigError: it is no PNG.
        """
        png = path.read_bytes()
        if not png.startswith(SIGNATURE) or len(png) < 24:
            raise ConfigError(f"{path} is no PNG; remove it, and the report is made without it.")
        return cls(png, alt, photographs)

    @classmethod
    def of_figure(cls, figure: "Figure", alt: str) -> Self:
        """A picture that is drawn now."""
        return cls(to_png(figure), alt)

    @property
    def address(self) -> str:
        """The whole file as a `data:` address."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode()}"

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, from the file's header."""
        return struct.unpack(">II", self.png[16:24])
