from pathlib import Path

import pytest

from datamodules.errors import DataError
from datamodules.sources.source import Index, Item, LeftOut
from datamodules.sources.unpacked import read_index, unpacked_folder, write_index


def test_an_index_comes_back_with_odd_names(tmp_path):
    items = [Item("a/\udce9.png", 0, None, "a/\udce9.png"), Item("/x/b.png", -1, None, "b.png")]
    index = Index(
        ("T-shirt/top", "日本"),
        {"unsplit": items[:1], "predict": items[1:]},
        (LeftOut("rows without an image", 2, "\udce9"),),
        ("read so",),
    )
    write_index(tmp_path, index)
    found = read_index(tmp_path)
    assert found.splits["unsplit"] == [items[0]._replace(path=str(tmp_path / "a/\udce9.png"))]
    assert found.splits["predict"] == items[1:]
    assert (found.class_names, found.left_out, found.notes) == (
        index.class_names,
        index.left_out,
        index.notes,
    )


def test_the_folder_changes_with_the_files_and_the_settings(tmp_path):
    one, other = tmp_path / "a.tar", tmp_path / "b.tar"
    for path in (one, other):
        path.write_bytes(b"x")

    def folder(files, settings=None):
        return unpacked_folder("unpacked", "set", files, settings)

    first = folder([one, other])
    assert first.parent == Path("unpacked") and first.name.startswith("set_")
    assert first == folder([other, one])
    assert len({first, folder([one]), folder([other]), folder([one, other], ["cls"])}) == 4
    one.write_bytes(b"xy")
    assert folder([one, other]) != first
    with pytest.raises(DataError, match=r"none.tar cannot be read \(No such file or directory\)"):
        folder([tmp_path / "none.tar"])
