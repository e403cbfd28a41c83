"""Fonts of this machine that have the letters of a text, and what to write where none has.

matplotlib draws each letter with the first font of a list that has it. Its own one has most
alphabets, but no Chinese, Japanese or Korean and no emoji.
"""

import contextlib
import logging
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING, NamedTuple

from datamodules.errors import shown

if TYPE_CHECKING:
    from matplotlib.ft2font import FT2Font

OWN = "DejaVu Sans"  # comes with matplotlib
# Those of common systems, which are asked before others.
PREFERRED = re.compile(
    "noto sans|source han|cjk|pingfang|hiragino|yahei|yu gothic|meiryo|malgun|jhenghei|wenquanyi|"
    "droid sans fallback|nanum|ipa.*gothic|takao|arial unicode|segoe ui|symbola|emoji",
    re.IGNORECASE,
)
# Fonts that have a sign for everything, which tells nothing.
EMPTY = re.compile("last ?resort|adobe blank|fallback outline|tofu", re.IGNORECASE)
# Not drawn: they join letters, or choose among their shapes.
SILENT = re.compile("[\u200b-\u200d\u2060\ufe00-\ufe0f\U000e0100-\U000e01ef]")
NO_LETTER = "\N{REPLACEMENT CHARACTER}"


class Numbered(NamedTuple):
    """Names as they can be drawn, and a sentence that says what the numbers stand for, or none."""

    names: list[str]
    legend: str


def font_families(texts: Iterable[str] = ()) -> list[str]:
    """Matplotlib's own font, then installed ones that have the letters which it lacks.

    Args:
        texts: what is to be written.
    """
    lacking = frozenset("".join(map(_drawn, texts)))
    return [OWN, *_covering("".join(sorted(letter for letter in lacking if ord(letter) > 127)))]


def drawable(text: str, families: Sequence[str]) -> str:
    """The text with a sign for each letter that none of the fonts has."""
    text = _drawn(text)
    if text.isascii():
        return text
    return "".join(c if any(_has(name, c) for name in families) else NO_LETTER for c in text)


def numbered(names: Sequence[str]) -> Numbered:
    """A number instead of each name that no installed font can write; they count from 1.

    Args:
        names: of classes, in order.
    """
    return _numbered(tuple(names))


@lru_cache(maxsize=8)
def _numbered(names: tuple[str, ...]) -> Numbered:
    families = font_families(names)
    drawn = [
        f"#{number}" if NO_LETTER in drawable(name, families) else name
        for number, name in enumerate(names, start=1)
    ]
    told = [
        f"{new} is {shown(name)}" for new, name in zip(drawn, names, strict=True) if new != name
    ]
    if not told:
        return Numbered(drawn, "")
    return Numbered(drawn, f"In the pictures {', '.join(told)}: no installed font has the letters.")


@contextlib.contextmanager
def missing_glyphs_allowed() -> Iterator[None]:
    """A letter that no font has is drawn as a sign, without a warning for each."""
    with warnings.catch_warnings(), _quiet():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep matplotlib from saying of each font that it lacks a weight."""
    logger = logging.getLogger("matplotlib.font_manager")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _drawn(text: str) -> str:
    """The text in one line, without what is not drawn; a sign for what cannot be printed."""
    visible = SILENT.sub("", text)
    return "".join(letter if letter.isprintable() else NO_LETTER for letter in visible)


@lru_cache(maxsize=64)
def _covering(letters: str) -> tuple[str, ...]:
    """The installed families that are needed for letters, as far as there are any."""
    lacking = {letter for letter in letters if not _has(OWN, letter)}
    found = []
    for name in installed() if lacking else ():
        has = {letter for letter in lacking if _has(name, letter)}
        if has:
            found.append(name)
            lacking -= has
        if not lacking:
            break
    return tuple(found)


def installed() -> list[str]:
    """The names of the installed fonts, those of common systems first."""
    from matplotlib import font_manager

    names = [name for name in sorted(font_manager.get_font_names()) if not EMPTY.search(name)]
    return sorted(names, key=lambda name: PREFERRED.search(name) is None)


@lru_cache(maxsize=100_000)
def _has(name: str, letter: str) -> bool:
    font = _font(name)
    return font is not None and font.get_char_index(ord(letter)) != 0


@cache
def _font(name: str) -> "FT2Font | None":
    """The file that matplotlib takes for a family; None where it cannot draw with it."""
    from matplotlib import font_manager
    from matplotlib.ft2font import FT2Font

    try:
        with _quiet():
            font = FT2Font(font_manager.findfont(name, fallback_to_default=False))
    except (OSError, RuntimeError, ValueError):  # gone, damaged, or of no known kind
        return None
    return font if font.scalable else None  # pictures of emoji in one size cannot be drawn
