"""Pictures for few and many classes: nothing is cut off, and names do not overlap."""

import itertools
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from datamodules.contact_sheets import fonts as fonts_of_sheets
from datamodules.sources import Item
from lightning_modules.errors import ConfigError
from lightning_modules.evaluation.calibration import reliability
from lightning_modules.evaluation.class_report import class_rows
from lightning_modules.evaluation.predictions import Predictions
from lightning_modules.reporting.pictures import run
from lightning_modules.reporting.pictures.classification import (
    draw_class_bars,
    draw_confusion,
    draw_reliability,
)
from lightning_modules.reporting.pictures.drawing import fonts, save, shortened, without_common
from lightning_modules.reporting.pictures.tradeoff import Point, draw_tradeoff

TITLE = "mobilenet_v3_small_trashnet_tucker_prune_seed0_fold4_trial12, val"


def names(count):
    odd = ["$a$b_{", "a class name that is much too long for its place", "x"]
    return [*odd, *(f"class number {n}" for n in range(3, count))][:count]


def answers(classes, images=120):
    draw = torch.Generator().manual_seed(0)
    labels = torch.randint(0, classes, (images,), generator=draw)
    logits = torch.randn(images, classes, generator=draw)
    logits[torch.arange(images), labels] += 3
    return Predictions(logits, labels)


def texts(figure):
    """The boxes of all visible words, in pixels, after the layout."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.text import Text

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    found = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text()]
    return {text: text.get_window_extent(canvas.get_renderer()) for text in found}


@pytest.mark.parametrize("count", [2, 6, pytest.param(60, marks=pytest.mark.slow)])
def test_no_word_is_cut_off_and_names_do_not_overlap(count):
    given, classes = answers(count), names(count)
    with fonts():
        figures = [
            draw_confusion(classes, given.confusion, title=TITLE),
            draw_class_bars(class_rows(classes, given.confusion), macro_f1=0.5, title=TITLE),
            draw_reliability(reliability(given), title=TITLE),
        ]
        for figure in figures:
            for text, box in texts(figure).items():
                inside = figure.bbox.padded(1)
                assert inside.contains(box.x0, box.y0), text
                assert inside.contains(box.x1, box.y1), text
    for axis in (figures[0].axes[0].xaxis, figures[0].axes[0].yaxis, figures[1].axes[0].yaxis):
        boxes = [label.get_window_extent() for label in axis.get_ticklabels()]
        assert len(boxes) == count
        for one, other in itertools.pairwise(boxes):
            assert not one.overlaps(other)


def test_the_cells_hold_the_counts():
    matrix = [[3, 0, 1], [0, 12345, 0], [0, 0, 0]]
    axes = draw_confusion(["a", "b", "c"], matrix, title="t").axes[0]
    written = {text.get_position(): text.get_text() for text in axes.texts}
    assert written == {(0, 0): "3", (2, 0): "1", (1, 1): "12k"}
    shares = np.asarray(axes.collections[0].get_array()).reshape(3, 3)
    assert shares.tolist() == [[0.75, 0, 0.25], [0, 1, 0], [0, 0, 0]]


def test_hundreds_of_classes_stay_a_picture():
    given, classes = answers(200, images=400), names(200)
    figure = draw_confusion(classes, given.confusion, title="t")
    assert max(figure.get_size_inches()) < 20
    assert not figure.axes[0].texts
    bars = draw_class_bars(class_rows(classes, given.confusion), macro_f1=0.5, title="t")
    assert bars.get_suptitle() == "t: the worst 60 of 200 classes"
    assert max(bars.get_size_inches()) < 20


def test_gaps_of_the_reliability_diagram():
    found = reliability(answers(6))
    above = draw_reliability(found, title="t").axes[0]
    right, over, under = (
        np.array([bar.get_height() for bar in bars]) for bars in above.containers[:3]
    )
    np.testing.assert_allclose(right, found.accuracy)
    filled = found.counts.numpy() > 0
    np.testing.assert_allclose((over - under)[filled], (found.confidence - found.accuracy)[filled])
    assert np.all((over == 0) | (under == 0))


def test_names_lose_their_middle():
    assert shortened("short") == "short"
    assert shortened("abcdefghij", 5) == "ab…ij"
    assert len(shortened("x" * 99)) == 24


class Loader:
    """As much of a data loader as is needed."""

    def __init__(self, images):
        self.dataset = self
        self.images = images

    def __getitem__(self, keys):
        return self.images[[index for _, index in keys]], None


@pytest.fixture
def data():
    images = torch.zeros(120, 3, 8, 8, dtype=torch.uint8) + torch.arange(120).view(-1, 1, 1, 1)
    return SimpleNamespace(
        class_names=tuple("abcdef"),
        val_dataloader=lambda: Loader(images.to(torch.uint8)),
        items=lambda split: [Item(f"/photos/{n}.png", 0, None, str(n)) for n in range(120)],
    )


def test_the_worst_images_come_first_with_what_was_seen(data, tmp_path, monkeypatch):
    sheets = []
    monkeypatch.setattr(
        run, "save_contact_sheet", lambda path, sections, **_: sheets.append(sections)
    )
    given = answers(6)
    run.save_worst(given, data, tmp_path / "x.png", split="val", title="t")
    (section,) = sheets[0]
    numbers = [int(tile.image[0, 0, 0]) for tile in section.tiles]
    losses = given.losses[numbers]
    assert len(numbers) == 30
    assert torch.equal(losses, given.losses.sort(descending=True).values[:30])
    tile, number = section.tiles[0], numbers[0]
    label, seen = int(given.labels[number]), int(given.classes[number])
    chance = given.probabilities[number]
    assert tile.caption == (
        f"is {'abcdef'[label]} ({chance[label]:.2f})",
        f"seen as {'abcdef'[seen]} ({chance[seen]:.2f})",
        f"{number}.png",
    )
    assert (tile.frame is not None) == (label != seen)


def test_all_pictures_are_whole_files(data, tmp_path):
    files = run.draw_pictures({"val": answers(6)}, data, tmp_path, name="run")
    names = ["val_classes.png", "val_confusion.png", "val_reliability.png", "val_worst.png"]
    assert sorted(path.name for path in files) == names
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == names
    for path in files:
        with Image.open(path) as picture:
            assert picture.format == "PNG"
            assert min(picture.size) > 250
            assert len(set(picture.convert("L").resize((40, 40)).getdata())) > 5


@pytest.mark.parametrize("letters", [True, False])
def test_names_that_no_font_can_write_are_numbers(data, tmp_path, monkeypatch, caplog, letters):
    monkeypatch.setattr(fonts_of_sheets, "installed", list)
    fonts_of_sheets._covering.cache_clear()
    fonts_of_sheets._numbered.cache_clear()
    data.class_names = ("a", "缶" if letters else "b", *"cdef")
    drawn = []
    monkeypatch.setattr(
        run, "draw_confusion", lambda classes, *a, **k: drawn.append(classes) or Figure()
    )
    with caplog.at_level("INFO"), warnings.catch_warnings():
        warnings.simplefilter("error")
        run.draw_pictures({"val": answers(6)}, data, tmp_path, name="run 缶")
    assert drawn == [["a", "#2" if letters else "b", *"cdef"]]
    legend = "In the pictures #2 is 缶: no installed font has the letters."
    assert caplog.messages == [legend] * letters


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path):
    (tmp_path / "taken.png").mkdir()
    with pytest.raises(ConfigError, match=r"taken.png cannot be written \(.+\)"):
        save(draw_confusion("ab", [[1, 0], [0, 1]], title="t"), tmp_path / "taken.png")
    assert [path.name for path in tmp_path.iterdir()] == ["taken.png"]


def test_names_of_networks_do_not_lie_on_each_other():
    points = [Point("a", 1000, 0.5), Point("b", 1000, 0.501), Point("c", 1000, 0.6)]
    axes = draw_tradeoff([*points, Point("d", 9000, 0.7)], title="t", under="u").axes[0]
    assert [text.get_text() for text in axes.texts] == ["c", "d", "a"]
    assert axes.get_xscale() == "log"


@pytest.mark.parametrize(
    ("names", "short", "common"),
    [
        (["a.b.c", "a.b.d.e"], ["c", "d.e"], "a.b."),
        (["a.b", "a.b.c"], ["b", "b.c"], "a."),  # nothing becomes empty
        (["a.b", "c.b"], ["a.b", "c.b"], ""),
        (["a.b.c"], ["a.b.c"], ""),
    ],
)
def test_names_without_their_common_beginning(names, short, common):
    assert without_common(names) == (short, common)
