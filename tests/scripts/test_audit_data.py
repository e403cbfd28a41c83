"""`scripts/audit_data.py`: its tables, pictures and sentences."""

import csv
import shutil

import pytest
from PIL import Image

from lightning_modules.config.command_line import report_errors
from scripts import audit_data


@pytest.fixture
def audit(capsys):
    """Runs the script in this process; returns what it prints."""

    def run(*words):
        audit_data.main(words)
        return capsys.readouterr().out

    return run


def refused(*words):
    """What is said of a command that cannot be carried out."""
    with pytest.raises(SystemExit) as refusal, report_errors():
        audit_data.main(words)
    (sentence,) = str(refusal.value).splitlines()
    return sentence


@pytest.mark.slow
def test_a_folder_with_everything_wrong(homes, folder, audit):
    """One duplicate in each way, one corrupt file; the second audit replaces the first."""
    shutil.copy(folder / "train" / "red" / "0.png", folder / "val" / "blue" / "copy.png")
    shutil.copy(folder / "train" / "red" / "1.png", folder / "train" / "red" / "copy.png")
    (folder / "train" / "red" / "bad.jpg").write_text("no image")
    shown = audit("data=image_folder", f"data.root={folder}")
    out = homes / "outputs" / "audit" / "image_folder"
    assert shown.splitlines()[-1] == f"tables and pictures: {out}"
    assert "label conflicts (groups across classes): 1" in shown
    assert "  train train/red/bad.jpg: not an image: it begins with b'no image'" in shown
    assert "label conflicts" in (out / "summary.txt").read_text()
    with (out / "duplicates.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {(row["across_classes"], row["across_splits"]) for row in rows} == {
        ("yes", "yes"),
        ("no", "no"),
    }
    assert Image.open(out / "duplicates.png").width > 500
    (folder / "train" / "red").rename(folder / "train" / "rot")
    (folder / "val" / "red").rename(folder / "val" / "rot")
    audit("data=image_folder", f"data.root={folder}", "--distance", "0")
    names = sorted(path.name for path in out.glob("class_*.png"))
    assert names == ["class_00_blue.png", "class_01_green.png", "class_02_rot.png"]
    assert [path.name for path in out.parent.iterdir()] == ["image_folder"]


@pytest.mark.slow
def test_drawn_crops_are_split_as_for_training(homes, audit):
    shown = audit("data=synthetic", "data.source.scenes=24", "--out", str(homes / "mine"))
    line = next(line for line in shown.splitlines() if "all 6 classes" in line)
    train, val, test, total = (int(cell) for cell in line.split("│")[2:6])
    assert train + val + test == total and 24 * 2 <= total <= 24 * 3 and min(val, test) > 0
    assert not (homes / "cache").exists()  # nothing is cached or written for training
    assert (homes / "mine" / "counts.csv").is_file()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["data=image_folder", "data.root=/nowhere"], "/nowhere does not exist: set data.root"),
        (["data=nothing"], "There is no data=nothing"),
        (["--out", "OTHER"], "exists and is no audit; give another --out"),
        (["--distance", "65"], "distance=65 is not allowed; give 0..64, the bits of a hash"),
        (["reasons=ugly", "exclude=OTHER/x.csv"], "reasons=ugly is not allowed; give some of corr"),
        (["reasons=labels"], "reasons=labels needs predictions for images that a network was not"),
        (["exclude=OTHER/notes.txt"], "notes.txt exists, and no audit wrote it or it was edited"),
        (["data.exclude=OTHER/none.csv"], "none.csv is no file: give a CSV with a column `path`"),
    ],
)
def test_mistakes_are_one_sentence(homes, folder, words, says):
    other = homes / "other"
    other.mkdir()
    (other / "notes.txt").write_text("keep")
    words = [word.replace("OTHER", str(other)) for word in words]
    base = (
        []
        if words[0].startswith(("data=", "data.root="))
        else ["data=image_folder", f"data.root={folder}"]
    )
    assert says in refused(*base, *words)
    assert [path.name for path in other.iterdir()] == ["notes.txt"]
    assert not (homes / "outputs").exists()


def test_nothing_readable(homes, folder):
    for path in folder.rglob("*.png"):
        path.write_bytes(b"")
    said = refused("data=image_folder", f"data.root={folder}")
    assert "None of the 54 image files can be read" in said and "the file is empty" in said


def test_a_list_to_leave_out(homes, folder, audit, monkeypatch):
    """Written, used, written anew with what it had; and never over a person's changes."""
    monkeypatch.setattr(audit_data, "write_sheets", lambda *_: None)  # takes most of the time
    shutil.copy(folder / "val" / "red" / "0.png", folder / "train" / "red" / "copy.png")
    (folder / "train" / "red" / "bad.jpg").write_text("no image")
    base = ["data=image_folder", f"data.root={folder}", "--out", str(homes / "out")]
    path = homes / "lists" / "list.csv"
    shown = audit(*base, f"exclude={path}").splitlines()
    assert shown[-4:] == [
        f"images to leave out: {path}, 2 in all",
        "  files that cannot be read: 1",
        "  copies of images of a later split: 1",
        f"review it, then train with data.exclude={path}",
    ]
    first = path.read_text()
    assert [line.split(",")[0] for line in first.splitlines()[2:]] == [
        "train/red/bad.jpg",
        "train/red/copy.png",
    ]
    shown = audit(*base, f"data.exclude={path}")
    assert "corrupt files: none" in shown and "leakage (groups across splits): none" in shown
    (folder / "train" / "blue" / "empty.png").write_bytes(b"")
    shown = audit(*base, f"data.exclude={path}", f"exclude={path}", "reasons=corrupt")
    assert f"  listed in {path} already: 2" in shown
    assert [line.split(",")[0] for line in path.read_text().splitlines()[2:]] == [
        "train/red/bad.jpg",
        "train/red/copy.png",
        "train/blue/empty.png",
    ]
    path.write_text(path.read_text().replace("train/red/copy.png", "train/red/1.png"))
    edited = path.read_text()
    assert "or it was edited since" in refused(*base, f"exclude={path}")
    assert path.read_text() == edited


def test_likely_wrong_labels_of_a_run(homes, folder, saved, audit):
    (saved / "metrics.json").write_text('{"val/f1": 0.5}')
    shown = audit(str(saved), f"exclude={homes / 'list.csv'}", "reasons=labels,corrupt")
    assert "likely wrong labels: " in shown and " of 18 checked (accuracy of the pred" in shown
    assert "  36 of 54 images were trained on by each of these runs" in shown
    found = list(csv.DictReader((saved / "audit" / "labels.csv").open()))
    assert f"  likely wrong labels: {len(found)}" in shown or not found
    assert {row["path"].split("/")[0] for row in found} <= {"val"}
    listed = (homes / "list.csv").read_text()
    assert all(row["path"] in listed for row in found)
    assert len(listed.splitlines()) == 2 + len(found)


def test_labels_need_finished_runs_and_cleanlab(saved, monkeypatch):
    assert refused(str(saved)).startswith("error: None of these runs has finished")
    assert "neither a run directory nor a study called nowhere" in refused("nowhere")
    (saved / "metrics.json").write_text('{"val/f1": 0.5}')
    monkeypatch.setattr("datamodules.audit.label_issues.find_spec", lambda name: None)
    assert "cleanlab, which is not installed: pip install" in refused(str(saved))


def test_evaluation_images_alone(homes, folder, audit):
    shutil.rmtree(folder / "train")
    shown = audit("data=image_folder", f"data.root={folder}")
    assert "│ all 3 classes │  18 │    18 │" in shown
