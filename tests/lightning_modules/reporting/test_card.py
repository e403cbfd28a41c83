"""`card.md`: what was measured, what nobody stated, limits that follow from metrics, the spread."""

import pytest
import yaml
from markdown_it import MarkdownIt
from omegaconf import OmegaConf

from datamodules.contact_sheets.fonts import Numbered
from lightning_modules.reporting import card
from lightning_modules.reporting.card import ALONE, tell_spread, write_card
from lightning_modules.runs.run_records import Record
from lightning_modules.runs.summary import summarize

METRICS = {
    "val/f1": 0.75,
    "epoch": 4,
    "kept": "last",
    "seed": 0,
    "confusion": {"classes": ["can", "cup"], "val": [[30, 10], [2, 8]]},
}
COUNTS = {"train": [1200, 40], "val": [40, 10]}


@pytest.fixture
def write(tmp_path):
    def written(name="run", *, metrics=None, classes=("can", "cup"), pictures=(), **stated):
        folder = tmp_path / name
        (folder / "model").mkdir(parents=True)
        saved = {"class_names": list(classes), "image_size": [32, 48], "recipe": []}
        text = yaml.safe_dump({**saved, "model": {"name": "net"}})
        (folder / "model" / "network.yaml").write_text(text)
        stated = {"license": None, "intended_use": None, **stated}
        data = {"name": "bins", "license": "MIT", "resize_mode": "pad"}
        confusion = {**METRICS["confusion"], "classes": list(classes)}
        metrics = {**(metrics or METRICS), "confusion": confusion}
        cfg = OmegaConf.create({"card": stated, "data": data})
        write_card(folder, metrics, cfg, COUNTS, [folder / name for name in pictures])
        return (folder / "card.md").read_text()

    return written


def test_what_nobody_stated_is_said_to_be_so(write):
    text = write()
    assert "| licence | nobody stated it; ask before you pass the network on |" in text
    assert "To tell these classes apart in images like those of bins" in text
    assert "| licence | MIT |" in text  # of the data


def test_what_a_person_says_stands_there(write):
    text = write(license="Apache-2.0", intended_use="Sorting drinks.")
    assert "| licence | Apache-2.0 |" in text and "## Intended use\n\nSorting drinks.\n" in text
    assert "nobody stated" not in text


def test_the_images_of_each_split_are_counted(write):
    text = write()
    assert (
        "| train | 1,240 images: can 1,200, cup 40 |\n| val | 50 images: can 40, cup 10 |" in text
    )


def test_limits_follow_from_the_metrics(write):
    limits = write().split("## Limits")[1].split("## How")[0]
    # F1 of can is 60 / 72, of cup 16 / 28.
    assert "weakest class on val is cup, with an F1 of 0.571." in limits
    assert "uncertain: cup (10)." in limits and "32 x 48 pixels by `data.resize_mode=pad`" in limits
    assert "flatters" not in limits and "latency" not in limits


def test_more_limits(write):
    latency = {"backend": "onnxruntime", "device": "a chip"}
    limits = write(metrics={**METRICS, "kept": "best", "latency": latency})
    assert "The epoch was chosen on the validation images" in limits
    assert "The latency is that of onnxruntime on a chip; others differ." in limits


def test_runs_that_repeat_each_other_tell_their_spread(write, tmp_path):
    records = []
    for seed, f1 in enumerate((0.7, 0.8)):
        assert ALONE in write(str(seed))
        config = {"seed": seed, "model": {"name": "net"}}
        metrics = {"val/f1": f1, "cost/macs": 1000}
        records.append(Record(str(seed), tmp_path / str(seed), config, {}, metrics))
    (row,) = summarize(records, objective="val/f1").rows
    tell_spread(row)
    for seed in "01":
        text = (tmp_path / seed / "card.md").read_text()
        assert ALONE not in text and (
            "Over 2 runs that differ in nothing but seed, mean (standard deviation): "
            "val/f1 0.7500 (0.0707)." in text
        )


def _cells(text: str) -> list[list[str]]:
    """The rows of all tables, as a reader sees them."""
    rows, in_cell = [], False
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        if token.type == "tr_open":
            rows.append([])
        elif token.type in ("th_open", "td_open"):
            in_cell = True
        elif token.type == "inline" and in_cell:
            in_cell = False
            assert not [part.type for part in token.children if part.type != "text"]
            rows[-1].append("".join(part.content for part in token.children))
    return rows


@pytest.mark.parametrize(
    "name",
    ["a|b", "<i>can</i>", "`x`", "*bold*", "_it_", "__b__", "a_b", "[x](y)", "a\\b", "a\\|b",
     "&amp;", "~~x~~", "$x$", "# x", "缶", "🥤", "<!-- x", "|", "!", "100%", "2 * 3"],
)  # fmt: skip
def test_class_names_stand_as_they_are(write, name):
    text = write(classes=(name, "cup"))
    rows = _cells(text)
    assert ["classes", f"{name}, cup"] in rows
    assert ["train", f"1,240 images: {name} 1,200, cup 40"] in rows
    (row,) = [row for row in rows if row[0] == name]
    assert len(row) == 5 and row[4] == "40"
    assert "<i>" not in MarkdownIt("commonmark").enable("table").render(text)


def test_names_of_several_lines_stay_in_their_cells(write):
    assert ["classes", "a b, cup"] in _cells(write(classes=("a\nb", "cup")))


def test_licences_stay_in_their_cells(write):
    rows = _cells(write(license="MIT | BSD\nboth"))
    assert ["licence", "MIT | BSD both"] in rows


def test_underscores_within_words_stay_readable(write):
    assert "glass_jar, cup" in write(classes=("glass_jar", "cup"))


def test_numbers_in_the_pictures_are_told(write, monkeypatch):
    legend = "In the pictures #1 is 缶: no installed font has the letters."
    monkeypatch.setattr(card, "numbered", lambda names: Numbered(["#1", "cup"], legend))
    assert (
        "Pictures: [val confusion](figures/val_confusion.png).\n\nIn the pictures \\#1 is 缶"
        in (write(classes=("缶", "cup"), pictures=("figures/val_confusion.png",)))
    )
    assert "In the pictures" not in write("other", classes=("缶", "cup"))
