"""What is written is whole or absent, and another account can read it."""

import os
import stat
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file

from lightning_modules.files import (
    read_json,
    remove_dead_parts,
    remove_parts,
    whole_file,
    whole_folder,
    write_bytes,
    write_json,
    write_text,
)


@pytest.fixture
def umask():
    """The usual one, whatever the tests are started with."""
    earlier = os.umask(0o022)
    yield
    os.umask(earlier)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_what_was_written_is_read(tmp_path):
    write_text(tmp_path / "new" / "a.txt", "ä\n")
    write_bytes(tmp_path / "b.bin", b"\0")
    write_json(tmp_path / "c.json", {"a": [1, None]})
    assert (tmp_path / "new" / "a.txt").read_text(encoding="utf-8") == "ä\n"
    assert (tmp_path / "b.bin").read_bytes() == b"\0"
    assert read_json(tmp_path / "c.json") == {"a": [1, None]}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "c.json", float("nan"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.bin", "c.json", "new"]


def test_an_error_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError), whole_file(path) as part:
        part.write_text("half")
        raise RuntimeError
    assert [(found.name, found.read_text()) for found in tmp_path.iterdir()] == [("a.txt", "old")]


def test_a_folder_is_replaced_whole_or_stays(tmp_path):
    folder = tmp_path / "model"
    for name in ("first", "second"):
        with whole_folder(folder) as part:
            (part / name).write_text(name)
    with pytest.raises(RuntimeError), whole_folder(folder) as part:
        (part / "third").write_text("half")
        raise RuntimeError
    assert [path.name for path in folder.iterdir()] == ["second"]
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_what_killed_processes_left_is_removed_and_nothing_else(tmp_path):
    folder = tmp_path / "steps" / "00_train"
    (folder / ".model.77.part").mkdir(parents=True)
    (folder / ".model.77.part" / "weights").write_text("half")
    (folder / ".model.77.part.old").mkdir()
    (folder / "model").mkdir()
    kept = [".env", "a.part", ".note.part", ".a.77.partly", "b.77.part", ".77.part"]
    for name in (*kept, ".last.ckpt.7.part"):
        (folder / name).write_text("x")
    remove_parts(tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == sorted([*kept, "model"])
    remove_parts(tmp_path / "absent")


def test_only_parts_of_dead_processes_are_removed_where_others_write(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    here, gone = os.getpid(), ended.pid
    (tmp_path / f".audit.{gone}.part").mkdir()
    kept = [f".audit.{here}.part", f".other.{gone}.part", ".audit.mine.part", "audit"]
    for name in (f".net.onnx.{gone}.part", f".net.onnx.json.{gone}.part", *kept):
        (tmp_path / name).write_text("x")
    for name in ("audit", "net.onnx", "net.onnx.json"):
        remove_dead_parts(tmp_path, name)
    remove_dead_parts(tmp_path / "absent")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)
    remove_dead_parts(tmp_path)
    kept.remove(f".other.{gone}.part")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)


def test_a_folder_that_was_being_replaced_comes_back(tmp_path):
    """Killed after the old one had made room, before the new one had its name."""
    old = tmp_path / ".model.77.part.old"
    old.mkdir()
    (old / "weights").write_text("old")
    (tmp_path / ".model.77.part").mkdir()
    remove_parts(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert (tmp_path / "model" / "weights").read_text() == "old"


def test_files_have_the_mode_that_the_umask_leaves(tmp_path, umask):
    with whole_file(tmp_path / "weights.safetensors") as part:
        save_file({"a": torch.zeros(2)}, part)
    assert mode(tmp_path / "weights.safetensors") == 0o644
