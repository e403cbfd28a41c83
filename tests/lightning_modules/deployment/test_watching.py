"""Images are given out once, when they are whole."""

import os
from itertools import islice

import pytest

from datamodules.errors import DataError
from lightning_modules.deployment.watching import new_images


def test_whole_files_once(tmp_path):
    (tmp_path / "old.png").write_bytes(b"1")
    looks = []
    steps = [
        lambda: (tmp_path / "b.jpg").write_bytes(b"half"),
        lambda: (tmp_path / "b.jpg").write_bytes(b"half, whole"),
        lambda: None,
        lambda: (tmp_path / "a.txt").write_bytes(b"no image"),
        lambda: (tmp_path / "b.jpg").unlink(),
        lambda: (tmp_path / "deep").mkdir(),
        lambda: (tmp_path / "deep" / "b.png").write_bytes(b"new"),
        lambda: None,
        lambda: os.utime(tmp_path / "old.png", (1, 1)),
        lambda: None,
    ]

    def wait(seconds):
        looks.append(seconds)
        steps[len(looks) - 1]()

    found = list(islice(new_images(tmp_path, interval=0.5, wait=wait), 11))
    names = [[os.path.relpath(path, tmp_path) for path in some] for some in found]
    assert names == [
        [], ["old.png"], [], ["b.jpg"], [], [], [], [], ["deep/b.png"], [], ["old.png"],
    ]  # fmt: skip
    assert set(looks) == {0.5}


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        next(new_images(tmp_path / "absent"))
