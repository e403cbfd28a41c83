"""The page: well-formed, self-contained, with every foreign word escaped, whole or absent."""

import base64
import io
from html.parser import HTMLParser

import pytest
from PIL import Image

from lightning_modules.errors import ConfigError
from lightning_modules.reporting.report.page import render, write_report
from lightning_modules.reporting.report.report_input import read_input
from tests.lightning_modules.reporting.report.conftest import CLASSES, HOSTILE

VOID = ("meta", "link", "img")


class Reader(HTMLParser):
    """Refuses elements that are not closed in order; keeps what a test asks for."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text = [], [], ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        names = [name for name, _ in attributes]
        assert len(names) == len(set(names))
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def run(finished):
    return finished()


def page_of(*words):
    text = render(read_input([str(word) for word in words]))
    return text, Reader(text)


def test_a_page_is_well_formed_and_needs_no_network(run):
    text, page = page_of(run)
    assert text.startswith("<!DOCTYPE html>")
    assert page.all("script") == [] and page.all("iframe") == []
    found = [tag.get("src") or tag.get("href") for _, tag in page.tags]
    addresses = [address for address in found if address]
    assert len(addresses) > 10
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert "url(" not in text and "@import" not in text
    ids = [tag["id"] for _, tag in page.tags if "id" in tag]
    assert len(ids) == len(set(ids))
    assert {tag["href"] for tag in page.all("a")} <= {f"#{name}" for name in ids}
    for picture in page.all("img"):
        assert len(picture["alt"]) > 20
        png = base64.b64decode(picture["src"].removeprefix("data:image/png;base64,"))
        with Image.open(io.BytesIO(png)) as opened:
            assert (str(opened.width), str(opened.height)) == (picture["width"], picture["height"])
    headings = [tag for tag, _ in page.tags if tag in ("h1", "h2", "h3", "h4")]
    assert headings.count("h1") == 1


def test_every_row_has_as_many_cells_as_there_are_headings(run, finished):
    _, page = page_of(run, finished("other", "model.width_multiple=2.0"))
    rows, cells = [], 0
    for tag, _ in page.tags:
        if tag in ("tr", "table"):
            rows.append(cells)
            cells = 0
        if tag == "table":
            rows.append("table")
        cells += tag in ("td", "th")
    tables = " ".join(map(str, rows[1:])).split("table")
    assert len(tables) >= 5
    for table in tables[:-1]:
        assert len(set(table.split()) - {"0"}) <= 1


def test_foreign_words_are_escaped(run):
    text, page = page_of(run)
    assert HOSTILE not in text and "<b>" not in text and "<i>" not in text
    assert all(name in page.text for name in CLASSES)
    assert "It lost <b>too much</b>." in page.text
    assert "a <processor>" in page.text


def test_pictures_of_the_run_are_used_and_others_drawn_or_said(run):
    _, page = page_of(run)
    assert "worst-classified images are not shown" in page.text
    before = len(page.all("img"))
    (run / "figures").mkdir()
    file = io.BytesIO()
    Image.new("RGB", (7, 5)).save(file, format="PNG")
    for kind in ("worst", "confusion"):
        (run / "figures" / f"val_{kind}.png").write_bytes(file.getvalue())
    _, page = page_of(run)
    own = [img for img in page.all("img") if (img["width"], img["height"]) == ("7", "5")]
    assert len(page.all("img")) == before + 1 and len(own) == 2
    assert "class" not in own[1] and own[0]["class"] == "chart"  # photographs keep their colours
    assert "not shown" not in page.text
    (run / "figures" / "val_worst.png").write_bytes(b"GIF89a")
    with pytest.raises(ConfigError, match=r"val_worst.png is no PNG"):
        page_of(run)


def test_a_run_without_epochs_says_so(run):
    (run / "metrics.csv").unlink()
    assert "No epoch was trained" in page_of(run)[1].text


def test_a_page_is_whole_or_absent(run, tmp_path):
    inputs = read_input([str(run)])
    path = write_report(inputs, tmp_path / "new" / "x.html")
    assert [file.name for file in path.parent.iterdir()] == ["x.html"]
    assert path.read_text().endswith("</html>")
    (tmp_path / "taken").mkdir()
    with pytest.raises(ConfigError, match=r"taken cannot be written \(.+\); give another place"):
        write_report(inputs, tmp_path / "taken")
    assert not list(tmp_path.glob(".taken*"))


def test_likely_wrong_labels_of_an_audit_are_shown(run):
    """They lie beside the run; names in them are escaped, and the picture is inside the page."""
    _, page = page_of(run)
    assert "Likely wrong labels" not in page.text
    folder = run / "audit"
    folder.mkdir()
    header = "rank,path,box,split,given,suggested,self_confidence,suggested_confidence\n"
    rows = [f"{n},train/{n}<i>.png,,train,{HOSTILE},b,0.0{n},0.9\n" for n in range(1, 31)]
    (folder / "labels.csv").write_text(header + "".join(rows))
    before = len(page.all("img"))
    text, page = page_of(run)
    assert "not trained on: 30." in page.text and "The likeliest 20 of 30" in page.text
    assert "train/20<i>.png" in page.text and "train/21<i>.png" not in page.text
    assert HOSTILE not in text and str(folder / "labels.csv") in page.text
    assert len(page.all("img")) == before
    Image.new("RGB", (80, 60), "white").save(folder / "labels.png")
    _, page = page_of(run)
    assert len(page.all("img")) == before + 1
    assert "#labels" in [tag["href"] for tag in page.all("a")]
    (folder / "labels.csv").write_text(header)
    (folder / "labels.png").unlink()
    assert "not trained on: none." in page_of(run)[1].text
    (folder / "labels.csv").write_text("what,else\n1,2\n")
    with pytest.raises(ConfigError, match=r"labels.csv cannot be read; run scripts/audit_data.py"):
        page_of(run)
