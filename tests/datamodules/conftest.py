import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import ROOT


@pytest.fixture
def make_folder(tmp_path):
    """Writes a small image folder and gives its root."""

    def make(counts=None, *, size=(20, 30), root=None, suffix=".png") -> Path:
        root = root or tmp_path / "images"
        rng = np.random.default_rng(0)
        counts = counts or {"train": {"can": 5, "box": 6}, "val": {"can": 2, "box": 2}}
        for split, classes in counts.items():
            for name, count in classes.items():
                folder = root / split / name
                folder.mkdir(parents=True)
                for n in range(count):
                    pixels = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
                    Image.fromarray(pixels).save(folder / f"{n:04d}{suffix}")
        return root

    return make


@pytest.fixture
def make_coco(tmp_path):
    """Writes a COCO detection set of grey images of 100 x 80 and gives its root."""

    def make(boxes, *, categories=("can", "box"), names=None, root=None, **changes) -> Path:
        root = root or tmp_path / "coco"
        root.mkdir(parents=True, exist_ok=True)
        names = names or [f"{n}.png" for n in range(len(boxes))]
        for name in names:
            if not (root / name).is_dir() and Path(os.path.normpath(root / name)).is_relative_to(
                root
            ):
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (100, 80), (90, 90, 90)).save(root / name)
        content = {
            "images": [
                {"id": n, "file_name": name, "width": 100, "height": 80}
                for n, name in enumerate(names)
            ],
            "annotations": [
                {"id": 1000 * n + m, "image_id": n, "category_id": label, "bbox": box}
                for n, of_image in enumerate(boxes)
                for m, (label, box) in enumerate(of_image)
            ],
            "categories": [{"id": i, "name": name} for i, name in enumerate(categories)],
        }
        (root / "annotations.json").write_text(json.dumps({**content, **changes}))
        return root

    return make


@pytest.fixture(scope="session")
def cases(tmp_path_factory):
    """The folder of odd inputs that tests/fixtures/cases/NAME.py writes, made once a session."""

    @cache
    def make(name: str) -> Path:
        folder = tmp_path_factory.mktemp("cases") / name
        script = ROOT / "tests" / "fixtures" / "cases" / f"{name}.py"
        subprocess.run([sys.executable, str(script), str(folder)], check=True, capture_output=True)
        return folder

    return make


@pytest.fixture
def open_folder():
    """A folder that every user of the machine can enter, which pytest's own are not."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def as_nobody():
    """Calls a function without the rights of the superuser and gives the text it returns."""

    def call(function) -> str:
        if os.geteuid() != 0:
            return function()
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
                text = function()
            except BaseException as error:
                text = repr(error)
            os.write(writing, text.encode())
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            text = pipe.read()
        os.waitpid(child, 0)
        return text

    return call


@contextlib.contextmanager
def at_most(seconds: int):
    """Fails what hangs."""

    def give_up(*_):
        raise AssertionError(f"did not end within {seconds} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


# What each EXIF orientation does to the upright image (EXIF 2.3, section 4.6.4).
STORED = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
    8: lambda a: np.rot90(a, -1),
}


def oriented(path: Path, upright: np.ndarray, orientation: int, **settings) -> str:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(STORED[orientation](upright))
    Image.fromarray(stored).save(path, exif=exif, **settings)
    return str(path)
