"""Letters that matplotlib's own font lacks: another font that has them, or a number and a legend.

The fonts of the machine do not matter: those of the tests are made by fontTools.
"""

import warnings

import numpy as np
import pytest

from datamodules.contact_sheets import fonts
from datamodules.contact_sheets.fonts import NO_LETTER, OWN, drawable, font_families, numbered
from datamodules.contact_sheets.page import Section, contact_sheet
from datamodules.contact_sheets.tile import Tile

CAN, CUP = "缶", "🥤"


@pytest.fixture(autouse=True)
def forget():
    """What was found among the fonts of a test."""
    found = (fonts._covering, fonts._has, fonts._font, fonts._numbered)
    for function in found:
        function.cache_clear()
    yield
    for function in found:
        function.cache_clear()


@pytest.fixture
def add_font(tmp_path, monkeypatch):
    """Makes a font in which some letters are squares of a width, and installs it beside OWN."""
    from fontTools.fontBuilder import FontBuilder
    from fontTools.pens.ttGlyphPen import TTGlyphPen
    from matplotlib import font_manager

    entries = list(font_manager.fontManager.ttflist)
    names = [OWN]
    monkeypatch.setattr(fonts, "installed", lambda: names)

    def add(name: str, letters: str, width: int = 500) -> None:
        pen = TTGlyphPen(None)
        pen.moveTo((50, 0))
        for point in ((50, 700), (width - 50, 700), (width - 50, 0)):
            pen.lineTo(point)
        pen.closePath()
        glyphs = [".notdef", *(f"g{n}" for n in range(len(letters)))]
        builder = FontBuilder(1000)
        builder.setupGlyphOrder(glyphs)
        builder.setupCharacterMap({ord(c): f"g{n}" for n, c in enumerate(letters)})
        builder.setupGlyf(dict.fromkeys(glyphs, pen.glyph()))
        builder.setupHorizontalMetrics(dict.fromkeys(glyphs, (width, 50)))
        builder.setupHorizontalHeader(ascent=800, descent=-200)
        builder.setupNameTable({"familyName": name, "styleName": "Regular"})
        builder.setupOS2()
        builder.setupPost()
        builder.save(tmp_path / f"{name}.ttf")
        font_manager.fontManager.addfont(tmp_path / f"{name}.ttf")
        names.append(name)

    yield add
    font_manager.fontManager.ttflist[:] = entries


def _page(text: str) -> np.ndarray:
    tile = Tile(np.zeros((40, 40, 3), np.uint8), (text,))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of a glyph that is missing
        return np.asarray(contact_sheet([Section([tile], text)], title=text))


@pytest.mark.parametrize("text", ["can", "Dose äöü", "жлю άλφα", ""])
def test_matplotlibs_font_is_enough_for_most_alphabets(text, monkeypatch):
    monkeypatch.setattr(fonts, "installed", lambda: pytest.fail("no other font is needed"))
    assert font_families([text]) == [OWN]
    assert numbered([text]) == ([text], "")


def test_fonts_that_have_the_letters_are_taken(add_font):
    add_font("Cans of Tests", CAN)
    add_font("Unused of Tests", CAN)
    add_font("Cups of Tests", CUP)
    assert font_families(["can", CAN]) == [OWN, "Cans of Tests"]
    assert font_families([CAN, f"{CUP} 1"]) == [OWN, "Cans of Tests", "Cups of Tests"]
    assert numbered([CAN, "can", CUP]) == ([CAN, "can", CUP], "")
    assert drawable(f"{CAN}{CUP}", [OWN, "Cups of Tests"]) == f"{NO_LETTER}{CUP}"


def test_the_letters_are_drawn_with_the_font_that_has_them(add_font):
    add_font("Wide of Tests", CAN, width=3000)
    without, drawn = _page("x"), _page(CAN)
    assert (drawn < 128).sum() > (without < 128).sum() + 1000  # a black bar three letters wide


def test_without_a_font_names_are_numbered_and_the_legend_says_which(add_font):
    names, legend = numbered(["can", CAN, "cup", f"a {CUP}"])
    assert names == ["can", "#2", "cup", "#4"]
    assert legend == (
        f"In the pictures #2 is {CAN}, #4 is a {CUP}: no installed font has the letters."
    )


def test_without_a_font_other_text_has_a_sign_for_each_letter(add_font):
    sign = _page(NO_LETTER)
    assert (_page(CAN) == sign).all() and (_page("x") != sign).any()


def test_what_only_joins_letters_needs_no_font(add_font):
    add_font("Hearts of Tests", "❤🤝")
    assert numbered(["❤\ufe0f", "🤝\u200d🤝"]).legend == ""
    assert drawable("❤\ufe0f", [OWN, "Hearts of Tests"]) == "❤"


def test_nothing_is_said_of_the_fonts_of_this_machine(caplog):
    """Matplotlib warns of each font that lacks a weight."""
    numbered([CAN, CUP])
    assert caplog.messages == []


def test_fonts_that_are_damaged_are_passed_over(add_font, tmp_path):
    add_font("Damaged of Tests", CAN)
    (tmp_path / "Damaged of Tests.ttf").write_bytes(b"no font")
    add_font("Whole of Tests", CAN)
    assert font_families([CAN]) == [OWN, "Whole of Tests"]


def test_signs_for_everything_are_no_letters():
    assert not [name for name in fonts.installed() if "last resort" in name.lower()]


def test_common_fonts_come_first(monkeypatch):
    from matplotlib import font_manager

    found = ["Aaa", "Noto Sans CJK JP", "Last Resort High-Efficiency", "Zzz", "Segoe UI Emoji"]
    monkeypatch.setattr(font_manager, "get_font_names", lambda: found)
    assert fonts.installed() == ["Noto Sans CJK JP", "Segoe UI Emoji", "Aaa", "Zzz"]
