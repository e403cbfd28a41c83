"""Digests of images: the same wherever the files lie, another for any other byte, box or order."""

import os
import shutil

import pytest

from datamodules.cache import contents, file_digests, split_digest
from datamodules.sources import Item


def items(root):
    return [
        Item(str(root / "a.png"), 0, None, "a.png"),
        Item(str(root / "b.png"), 1, (0, 0, 2, 2), "b.png"),
    ]


@pytest.fixture
def digest_of(tmp_path):
    def found(root, of=lambda them: them):
        them = items(root)
        digests = file_digests([item.path for item in them], tmp_path / "cache")
        return split_digest(of(them), digests)

    return found


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"one")
    (folder / "b.png").write_bytes(b"two")
    return folder


def test_what_changes_a_digest(tmp_path, root, digest_of):
    before = digest_of(root)
    shutil.copytree(root, tmp_path / "moved")
    assert digest_of(tmp_path / "moved") == before
    assert digest_of(root, of=lambda them: them[::-1]) != before
    assert digest_of(root, of=lambda them: them[:1]) != before
    assert digest_of(root, of=lambda t: [t[0], t[1]._replace(box=(0, 0, 2, 3))]) != before
    assert digest_of(root, of=lambda t: [t[0]._replace(label=1), t[1]]) != before
    status = (root / "a.png").stat()
    (root / "a.png").write_bytes(b"0ne")
    os.utime(root / "a.png", ns=(status.st_atime_ns, status.st_mtime_ns))
    changed = digest_of(root)
    assert changed != before
    (root / "a.png").unlink()
    assert len({digest_of(root), changed, before}) == 3  # a listed file that is absent


def test_a_file_is_read_once(root, digest_of, monkeypatch):
    before = digest_of(root)
    monkeypatch.setattr(contents, "_digest", None)
    assert digest_of(root) == before
    (file,) = (root.parent / "cache" / "contents").iterdir()
    monkeypatch.undo()
    file.write_text("damaged")
    assert digest_of(root) == before


def test_a_cache_that_cannot_be_written(root, tmp_path):
    (tmp_path / "cache").write_text("a file")
    paths = [item.path for item in items(root)]
    assert len(set(file_digests(paths, tmp_path / "cache").values())) == 2


def test_nothing_is_left_of_a_process_that_was_killed(root, digest_of, tmp_path):
    kept = tmp_path / "cache" / "contents"
    kept.mkdir(parents=True)
    (kept / ".0123.json.99999999.part").touch()
    digest_of(root)
    assert [path.suffix for path in kept.iterdir()] == [".json"]
