import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamodules.contact_sheets.lettering import load_font, shorten, wrap

FONT = load_font(13)
WORDS = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60)


@given(text=WORDS, width=st.integers(20, 300))
def test_shortened_text_fits_and_keeps_its_ends(text, width):
    short = shorten(text, FONT, width)
    assert FONT.getlength(short) <= width
    if short != text:
        assert FONT.getlength(text) > width
        start, end = short.split("…")
        assert text.startswith(start) and text.endswith(end)
        assert len(start) - len(end) in (0, 1)


def test_no_letter_more_would_fit():
    text = "train/plastic/bottle_0123456789.jpg"
    short = shorten(text, FONT, 150)
    kept = len(short)  # one letter more
    longer = f"{text[: (kept + 1) // 2]}…{text[-(kept // 2) :]}"
    assert FONT.getlength(short) <= 150 < FONT.getlength(longer)


@given(text=WORDS, width=st.integers(60, 300))
def test_wrapped_text_fits_and_loses_no_word(text, width):
    lines = wrap(text, FONT, width)
    assert all(FONT.getlength(line) <= width for line in lines)
    if all(FONT.getlength(word) <= width for word in text.split()):
        assert " ".join(lines).split() == text.split()


def test_a_font_that_has_the_letters():
    assert load_font(13, "abc").getname() == load_font(13).getname()
    font = load_font(13, "жлюé")
    if font.getname() == load_font(13).getname():
        pytest.skip("no font with Cyrillic letters is installed")
    nothing = bytes(font.getmask("\uffff"))
    assert all(bytes(font.getmask(letter)) != nothing for letter in "жлюé")
