import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamodules.contact_sheets.text import load_font, shorten, wrap

FONT = load_font(13)
WORDS = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60)


@given(text=WORDS, width=st.integers(20, 300))
def test_shortened_text_fits_and_keeps_its_ends(text, width):
    short = shorten(text, FONT, width)
    assert FONT.width(short) <= width
    if short != text:
        assert FONT.width(text) > width
        start, end = short.split("…")
        assert text.startswith(start) and text.endswith(end)
        assert len(start) - len(end) in (0, 1)


def test_no_letter_more_would_fit():
    text = "train/plastic/bottle_0123456789.jpg"
    short = shorten(text, FONT, 150)
    kept = len(short)  # one letter more
    longer = f"{text[: (kept + 1) // 2]}…{text[-(kept // 2) :]}"
    assert FONT.width(short) <= 150 < FONT.width(longer)


@given(text=WORDS, width=st.integers(60, 300))
def test_wrapped_text_fits_and_loses_no_word(text, width):
    lines = wrap(text, FONT, width)
    assert all(FONT.width(line) <= width for line in lines)
    if all(FONT.width(word) <= width for word in text.split()):
        assert " ".join(lines).split() == text.split()


@pytest.mark.parametrize("letters", ["äöüß", "жлю", "άλφα", "é"])
def test_a_font_that_has_the_letters(letters):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of a glyph that is missing
        assert load_font(13).width(letters) > 0


def test_what_cannot_be_printed_is_shown_as_such():
    assert shorten("a\nb\udcffc\0", FONT, 300) == "a\N{REPLACEMENT CHARACTER}b" + (
        "\N{REPLACEMENT CHARACTER}c\N{REPLACEMENT CHARACTER}"
    )


def test_widths_are_in_pixels():
    assert FONT.width("") == 0
    assert load_font(26).width("width") == pytest.approx(2 * FONT.width("width"), rel=0.1)
    assert 4 * 5 < FONT.width("mmmm") < 4 * 15
