"""`scripts/download.py`: its words, and what it says; what it does is in tests/integration."""

import runpy
import sys
from pathlib import Path

import pytest

from datamodules.downloads import Report, Target
from datamodules.errors import DataError
from tests.conftest import ROOT

SCRIPT = ROOT / "scripts" / "download.py"


@pytest.fixture
def typed(homes, monkeypatch):
    """Runs the script in this process; returns how it exits."""
    monkeypatch.chdir(homes)

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["download.py", *words])
        with pytest.raises(SystemExit) as exit:
            runpy.run_path(str(SCRIPT), run_name="__main__")
        return exit.value.code

    return run


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "Nothing cannot be downloaded; name one of taco, trashnet, fashion_mnist."),
        (["imagenet"], "imagenet cannot be downloaded; name one of taco, trashnet, fashion_mnist."),
        (["taco", "trashnet"], "name one of taco, trashnet, fashion_mnist."),
        (["taco", "roots=x"], "roots=x is no key of this script; own keys: root, url."),
        (["taco", "url=file:///etc/passwd"], "is not one of http or https"),
        (["trashnet", "--annotations", "x"], "--annotations x is for taco"),
        (["taco", "--annotations", "/nowhere.json"], "/nowhere.json does not exist"),
        (["taco", "--workers", "0"], "workers=0 is no limit for a download"),
        (["taco", "root=/proc/taco"], "/proc/taco cannot be written"),
    ],
)
def test_mistakes_are_one_sentence(typed, homes, words, said):
    code = typed(*words)
    assert code.startswith("error: ") and said in code and "\n" not in code
    assert not list(homes.rglob("*.part*"))


def test_help_names_every_limit_with_its_default(typed, capsys):
    assert typed("--help") == 0
    text = " ".join(capsys.readouterr().out.split())
    for said in ("--workers N files at the same time (default: 8)", "--annotations", "--verify",
                 "--stall-timeout N seconds without an answer or new bytes (default: 30.0)",
                 "root=DIR (default: data/NAME", "url=ADDRESS"):  # fmt: skip
        assert said in text


def show(*arguments, **settings):
    runpy.run_path(str(SCRIPT))["show"](*arguments, **settings)


def test_the_end_of_a_whole_download(capsys):
    report = Report(root=Path("data/my trash"), total=5, fetched=2)
    show("trashnet", report, usual=True)
    show("trashnet", report, usual=False)
    line = "trashnet  5 of 5 images in data/my trash, 2 of them new\n"
    assert capsys.readouterr().out == (
        f"{line}next      python run.py data=trashnet\n"
        f"{line}next      python run.py data=trashnet 'data.root=data/my trash'\n"
    )


def test_the_end_of_a_download_that_lacks_much(capsys):
    targets = [
        Target("http://x", Path(f"data/taco/b/{n}.jpg"), lambda path: None) for n in range(30)
    ]
    missing = dict.fromkeys(targets, "404 Not Found")
    report = Report(root=Path("data/taco"), total=40, fetched=4, missing=missing)
    with pytest.raises(DataError, match="^30 of 40 images could not be had"):
        show("taco", report, usual=True)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "taco      10 of 40 images in data/taco, 4 of them new"
    assert (
        lines[1] == "  b/0.jpg: 404 Not Found" and lines[11] == "  and 20 more" and len(lines) == 13
    )
    nothing = Report(root=Path("data/taco"), total=30, fetched=0, missing=missing)
    with pytest.raises(DataError):
        show("taco", nothing, usual=True)
    assert "next" not in capsys.readouterr().out


def test_the_end_of_a_download_of_files(capsys):
    root = Path("data/fashion_mnist")
    show("fashion_mnist", Report(root=root, total=4, fetched=1, what="files"), usual=True)
    assert capsys.readouterr().out == (
        "fashion_mnist 4 of 4 files in data/fashion_mnist, 1 of them new\n"
        "next      python run.py data=fashion_mnist\n"
    )
    missing = {Target("http://x", root / "a.gz", lambda path: None): "404 Not Found"}
    with pytest.raises(DataError, match=r"^1 of 4 files could not be had \(.*missing.csv says why"):
        show("fashion_mnist", Report(root=root, total=4, fetched=0, missing=missing, what="files"),
             usual=True)  # fmt: skip
    assert "next" not in capsys.readouterr().out
