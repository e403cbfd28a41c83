import warnings

import numpy as np
import pytest
from PIL import Image

from datamodules.contact_sheets import page as module
from datamodules.contact_sheets.page import GAP, MARGIN, WIDE_GAP, Section, contact_sheet
from datamodules.contact_sheets.page import save_contact_sheet as save
from datamodules.contact_sheets.tile import FRAME, RED, Tile
from datamodules.errors import DataError

LONG = "a_very_long_name_that_is_much_wider_than_its_picture_0001.jpg"


BLUE = (60, 60, 250)  # unlike any pixel of a letter


def _blue(height=20, width=20):
    return np.full((height, width, 3), BLUE, np.uint8)


def _pixels(*sections, **settings):
    return np.asarray(contact_sheet(sections, **{"title": "pictures", "side": 100, **settings}))


def _is_paper(pixels):
    return (pixels == 255).all()


def _find(pixels, colour):
    """Upper left and lower right corner (row, column) of what has a colour."""
    rows, columns = np.nonzero((pixels == colour).all(-1))
    return (rows.min(), columns.min()), (rows.max() + 1, columns.max() + 1)


def test_small_pictures_are_enlarged_by_a_whole_factor():
    image = _blue(20, 30)
    image[5, 7] = (0, 255, 0)
    pixels = _pixels(Section([Tile(image)]))
    top, bottom = _find(pixels, BLUE)
    assert np.subtract(bottom, top).tolist() == [60, 90]
    top_of_dot, bottom_of_dot = _find(pixels, (0, 255, 0))
    assert np.subtract(top_of_dot, top).tolist() == [15, 21]
    assert np.subtract(bottom_of_dot, top_of_dot).tolist() == [3, 3]


@pytest.mark.parametrize(("height", "width", "shown"), [(400, 200, (100, 50)), (3, 999, (1, 100))])
def test_large_pictures_are_reduced(height, width, shown):
    top, bottom = _find(_pixels(Section([Tile(_blue(height, width))])), BLUE)
    assert tuple(np.subtract(bottom, top)) == shown


def test_nothing_overlaps_or_is_cut():
    tile = Tile(_blue(100, 100), (LONG, LONG, "short"))
    heading = "a heading that is much too wide for the pictures below it " * 3
    sections = [Section([tile] * 2, heading), Section([tile] * 7, heading)]
    pixels = _pixels(*sections, title=f"{LONG} " * 9, columns=3)
    edge = MARGIN - 2  # letters such as j reach a little over their place
    for border in (pixels[:edge], pixels[-edge:], pixels[:, :edge], pixels[:, -edge:]):
        assert _is_paper(border)
    alone = _pixels(sections[1], title="x", columns=3)
    below = alone[_find(alone, BLUE)[0][0] :]
    for left in (MARGIN + 100, MARGIN + 100 + GAP + 100):
        assert _is_paper(below[:, left : left + GAP])
    assert (below == BLUE).all(-1).sum() == 7 * 100 * 100


def test_captions_stay_below_their_pictures():
    pixels = _pixels(Section([Tile(_blue(100, 100), (LONG,)), Tile(_blue(100, 100), (LONG,))]))
    (top, _), (bottom, _) = _find(pixels, BLUE)
    gap = slice(MARGIN + 100, MARGIN + 100 + GAP)
    assert _is_paper(pixels[top:, gap])
    captions = pixels[bottom:-MARGIN]
    assert not _is_paper(captions[:, MARGIN : MARGIN + 100])
    assert not _is_paper(captions[:, gap.stop : gap.stop + 100])
    assert _is_paper(captions[:, gap.stop + 100 :])


def test_short_sections_share_a_band_and_long_ones_begin_a_new():
    colours = [(200, 0, 0), (0, 200, 0), (0, 0, 200)]
    images = [np.full((100, 100, 3), colour, np.uint8) for colour in colours]
    tiles = [[Tile(image, ("x",))] for image in images]
    pixels = _pixels(
        *(Section(t * n, "h") for t, n in zip(tiles, (2, 2, 3), strict=True)), columns=5
    )
    corners = [_find(pixels, colour)[0] for colour in colours]
    assert corners[0][0] == corners[1][0] < corners[2][0]
    assert corners[1][1] == MARGIN + 2 * 100 + GAP + WIDE_GAP
    assert corners[0][1] == corners[2][1] == MARGIN


def test_frames_lie_on_the_picture():
    pixels = _pixels(Section([Tile(_blue(100, 100), frame=RED)]))
    top, bottom = _find(pixels, RED)
    assert np.subtract(bottom, top).tolist() == [100, 100]
    inner = _find(pixels, BLUE)
    assert np.subtract(inner[0], top).tolist() == [FRAME, FRAME]


def test_no_pictures():
    assert not _is_paper(_pixels(Section([], "none"), title="nothing found"))


def test_the_pixels_of_a_picture_are_untouched():
    image = np.random.default_rng(0).integers(0, 255, (100, 100, 3), dtype=np.uint8)
    pixels = _pixels(Section([Tile(image, ("x",)), Tile(image[::-1], ("y",))], "heading"))
    for left, shown in ((MARGIN, image), (MARGIN + 100 + GAP, image[::-1])):
        columns = pixels[:, left : left + 100]
        tops = np.flatnonzero((columns != 255).any(-1).all(1))
        assert np.array_equal(columns[tops[0] : tops[0] + 100], shown)


@pytest.mark.parametrize(
    "name", ["Müll_größe", "塑料瓶", "бутылка", "a$b^2$", "x\ny", "\udcff.jpg"]
)
def test_names_of_any_script(name):
    tile = Tile(_blue(100, 100), (name, name))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pixels = _pixels(Section([tile], name), title=f"{name} {name}")
    _, (bottom, _) = _find(pixels, BLUE)
    first, second = np.split(pixels[bottom + 2 : -MARGIN - GAP, MARGIN : MARGIN + 100], 2)
    assert not _is_paper(first) and not _is_paper(second)
    assert first.min() < second.min()  # the first line in ink, others in gray


def test_a_mathematical_name_is_written_as_it_is():
    plain, with_signs = (
        _pixels(Section([Tile(_blue(100, 100), (caption,))])) for caption in ("b2", "$b^2$")
    )
    inked = [(page[:, MARGIN : MARGIN + 100] < 128).all(-1).sum() for page in (plain, with_signs)]
    assert inked[1] > inked[0] + 10  # both dollars are there


def test_no_style_of_the_user_s_gets_in():
    from matplotlib import rc_context

    sections = [Section([Tile(_blue(30, 30), ("caption",), RED)], "heading")]
    usual = _pixels(*sections)
    style = {"figure.facecolor": "black", "font.size": 40, "figure.dpi": 30, "text.color": "red"}
    with rc_context({**style, "savefig.bbox": "tight", "font.family": "monospace"}):
        assert np.array_equal(_pixels(*sections), usual)


def test_pyplot_knows_nothing_of_it():
    from matplotlib import pyplot

    contact_sheet([Section([Tile(_blue())])], title="x")
    assert not pyplot.get_fignums()


def test_too_large_a_page_is_one_sentence(monkeypatch):
    monkeypatch.setattr(module, "MAX_PIXELS", 100_000)
    page = contact_sheet([Section([Tile(_blue())])], title="x", side=20)
    assert page.width * page.height <= 100_000
    with pytest.raises(DataError, match=r"592 x \d+ pixels is too large: show fewer pictures"):
        contact_sheet([Section([Tile(_blue())] * 60)], title="x", columns=2)


def test_saved_as_png_in_one_piece(tmp_path):
    path = save(tmp_path / "deep" / "sheet.png", [Section([Tile(_blue())])], title="x")
    assert Image.open(path).format == "PNG"
    assert [p.name for p in path.parent.iterdir()] == ["sheet.png"]


def test_unwritable_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"sheet.png cannot be written \(.*\)"):
        save(tmp_path / "file" / "sheet.png", [], title="x")
    (tmp_path / "taken.png").mkdir()
    with pytest.raises(DataError, match=r"taken.png cannot be written"):
        save(tmp_path / "taken.png", [], title="x")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "taken.png"]
