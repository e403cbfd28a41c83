import errno
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from datamodules.errors import DataError
from datamodules.files import build_once, write_bytes, written_beside


def _write(part):
    (part / "file").write_text("whole")


def test_builds_once(tmp_path):
    build_once(tmp_path / "deep" / "made", _write)
    build_once(tmp_path / "deep" / "made", lambda part: pytest.fail("built again"))
    assert (tmp_path / "deep" / "made" / "file").read_text() == "whole"


def test_waits_for_the_one_who_builds(tmp_path):
    calls = []

    def build(part):
        calls.append(part)
        _write(part)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: build_once(tmp_path / "made", build), range(8)))
    assert len(calls) == 1


def test_failed_build_leaves_nothing(tmp_path):
    def fail(part):
        _write(part)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_once(tmp_path / "made", fail)
    assert [p.name for p in tmp_path.iterdir() if p.is_dir()] == []


def test_remains_of_a_killed_build_are_not_taken(tmp_path):
    (tmp_path / "made.part").mkdir()
    (tmp_path / "made.part" / "old").write_text("half")
    build_once(tmp_path / "made", _write)
    assert [p.name for p in (tmp_path / "made").iterdir()] == ["file"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EACCES])
def test_unwritable_is_one_sentence(tmp_path, number):
    def fail(part):
        raise OSError(number, os.strerror(number))

    with pytest.raises(DataError, match=rf"made cannot be written \({os.strerror(number)}\)"):
        build_once(tmp_path / "made", fail)
    assert not (tmp_path / "made").exists()


def test_folder_below_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        build_once(tmp_path / "file" / "made", _write)


def test_a_failed_writing_changes_nothing(tmp_path):
    path = tmp_path / "deep" / "file"
    write_bytes(path, b"first")
    with pytest.raises(KeyError), written_beside(path) as beside:
        beside.write_bytes(b"second")
        raise KeyError
    assert path.read_bytes() == b"first" and list(path.parent.iterdir()) == [path]


def test_an_unwritable_file_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"file/name cannot be written \(.*\): free some space"):
        write_bytes(tmp_path / "file" / "name", b"")


def test_modes_are_those_of_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        write_bytes(tmp_path / "file", b"")
        build_once(tmp_path / "made", _write)
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "made").stat().st_mode & 0o777 == 0o750
    assert (tmp_path / "made" / "file").stat().st_mode & 0o777 == 0o640
