"""Tars of samples, as `webdataset` and its tools write them."""

import io
import json
import pickle
import tarfile
from pathlib import Path

import pytest

from datamodules.errors import DataError
from tests.datamodules.sources.huggingface.conftest import encoded


def write_tar(path, members, mode="w"):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as tar:
        for name, content in members:
            content = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def shard(start, count, label, suffix="jpg", kind="JPEG"):
    """Members of samples whose class says `label(n)`: a suffix and a text."""
    members = []
    for n in range(start, start + count):
        of_class, text = label(n)
        members += [(f"{n:06d}.{suffix}", encoded(n, kind)), (f"{n:06d}.{of_class}", text)]
    return members


def read(one):
    names = one.check()
    one.prepare()
    index = one.read()
    assert index.class_names == names
    for items in index.splits.values():
        for item in items:
            number = int(Path(item.group).name.partition(".")[0].rpartition("_")[2])
            kind = "PNG" if item.path.endswith("png") else "JPEG"
            assert Path(item.path).read_bytes() == encoded(number, kind)
    return names, {s: [item.label for item in items] for s, items in index.splits.items()}


@pytest.mark.parametrize(
    ("label", "names"),
    [
        (lambda n: ("cls", str(n % 3)), ("0", "1", "2")),
        (lambda n: ("cls", f"{n % 3}\n"), ("0", "1", "2")),
        (lambda n: ("cls", ["dog", "cat", "fox"][n % 3]), ("cat", "dog", "fox")),
        (lambda n: ("txt", ["dog", "cat", "fox"][n % 3]), ("cat", "dog", "fox")),
        (lambda n: ("json", json.dumps({"label": n % 3, "width": 6})), ("0", "1", "2")),
        (lambda n: ("json", json.dumps({"class": "ab"[n % 2]})), ("a", "b")),
        (lambda n: ("JSON", json.dumps({"label": bool(n % 2)})), ("False", "True")),
    ],
)
def test_where_the_class_stands(source, tmp_path, label, names):
    write_tar(tmp_path / "shard-000000.tar", shard(0, 9, label))
    found, splits = read(source("shard-000000.tar"))
    assert found == names and list(splits) == ["unsplit"] and len(splits["unsplit"]) == 9
    texts = [label(n)[1] for n in range(9)]
    assert len({*zip(texts, splits["unsplit"], strict=True)}) == len(names)


@pytest.mark.parametrize("packed", [False, True])
def test_shards_of_splits(source, tmp_path, packed):
    mode, suffix = ("w:gz", ".tar.gz") if packed else ("w", ".tar")
    for split, start, count in (("train", 0, 4), ("train", 4, 4), ("val", 8, 2), ("test", 10, 3)):
        path = tmp_path / "shards" / f"photos-{split}-{start:06d}{suffix}"
        write_tar(path, shard(start, count, lambda n: ("cls", str(n % 2))), mode)
    one = source("shards")
    assert read(one) == (
        ("0", "1"), {"train": [0, 1] * 4, "val": [0, 1], "test": [0, 1, 0]})  # fmt: skip
    assert one.read().notes == ("tars of samples with classes from cls",)
    assert [Path(i.path).name for i in one.read().splits["val"]] == ["000008.jpg", "000009.jpg"]
    assert read(source(f"shards/*train*{suffix}"))[1] == {"unsplit": [0, 1] * 4}


def test_keys_with_folders_and_the_same_key_in_two_shards(source, tmp_path):
    members = [(f"./{c}/{n}.{e}", encoded(n) if e == "png" else c)
               for c in ("cat", "dog") for n in (1, 2) for e in ("png", "cls")]  # fmt: skip
    write_tar(tmp_path / "a" / "0.tar", members)
    write_tar(tmp_path / "a" / "1.tar", members)
    one = source("a")
    one.prepare()
    names = [Path(item.path).name for item in one.read().splits["unsplit"]]
    assert names[:5] == ["cat_1.png", "cat_2.png", "dog_1.png", "dog_2.png", "cat_1_000004.png"]
    assert [item.label for item in one.read().splits["unsplit"]] == [0, 0, 1, 1] * 2


def test_class_names_beside_the_tars(source, tmp_path):
    write_tar(tmp_path / "set" / "train" / "0.tar", shard(0, 6, lambda n: ("cls", str(n % 3))))
    (tmp_path / "set" / "classnames.txt").write_text("zebra\nant\n\nfox\n")
    one = source("set")
    assert read(one) == (("zebra", "ant", "fox"), {"unsplit": [0, 1, 2] * 2})
    assert one.read().notes[1] == (
        "the classes are named by classnames.txt, in the order of their numbers"
    )
    named = source("set", class_names=["x", "y"])
    with pytest.raises(DataError, match="class '2', which is none of the 2 class names: name them"):
        named.prepare()


def test_members_that_are_neither_image_nor_class(source, tmp_path):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "executed",))

    members = []
    for n in range(4):
        members += [
            (f"{n}.jpg", encoded(n, "JPEG")),
            (f"{n}.seg.png", encoded(9)),
            (f"{n}.pyd", pickle.dumps(Evil())),
            (f"{n}.cls", "ab"[n % 2]),
        ]
    members += [("9.cls", "a"), ("8.jpg", encoded(8, "JPEG")), ("._0.jpg", b"x")]
    write_tar(tmp_path / "0.tar", members)
    one = source("0.tar")
    assert read(one) == (("a", "b"), {"unsplit": [0, 1, 0, 1]})
    assert one.read().left_out == (
        ("other members of tars", 8, "0.pyd"),
        ("samples without an image", 1, "9"),
        ("images without a class", 1, "8.jpg"),
    )
    assert not (tmp_path / "executed").exists()


def test_named_members(source, tmp_path):
    members = [(f"{n}.{e}", c) for n in range(4) for e, c in (
        ("jpg", encoded(n, "JPEG")), ("png", encoded(n)), ("cls", "0"),
        ("json", json.dumps({"label": "x", "breed": "ab"[n % 2], "tags": ["a"]})))]  # fmt: skip
    write_tar(tmp_path / "0.tar", members)
    with pytest.raises(
        DataError, match=r"several images \(.jpg, .png\): name one by data.source.i"
    ):
        source("0.tar").check()
    assert read(source("0.tar", image_column="png", label_column="breed")) == (
        ("a", "b"), {"unsplit": [0, 1, 0, 1]})  # fmt: skip
    with pytest.raises(DataError, match="has tags = .*: only one class an image can be learnt"):
        source("0.tar", image_column=".jpg", label_column="tags").check()
    with pytest.raises(DataError, match="label_column=kind is neither the extension of a member"):
        source("0.tar", image_column="jpg", label_column="kind").check()


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ([], "gives no image a class"),
        ([("0.jpg", b"x"), ("1.jpg", b"x")], "gives no image a class: name the classes by"),
        ([("0.jpg", b"x"), ("0.json", "{")], "0.json of .*0.tar is no JSON"),
        ([(f"{n}.{e}", f"a photo of {n}") for n in range(12) for e in ("jpg", "txt")],
         "has another value for each of 12 images, as 'a photo of 0'"),
    ],
)  # fmt: skip
def test_tars_that_are_refused(source, tmp_path, members, said):
    write_tar(tmp_path / "0.tar", members)
    with pytest.raises(DataError, match=said) as error:
        source("0.tar").check()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9])
@pytest.mark.parametrize("packed", [False, True])
def test_a_tar_that_was_cut_off(source, tmp_path, packed, share):
    members = shard(0, 40, lambda n: ("cls", "ab"[n % 2]))
    name = "0.tar.gz" if packed else "0.tar"
    path = write_tar(tmp_path / name, members, "w:gz" if packed else "w")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    one = source(name)
    with pytest.raises(DataError, match=rf"{name} cannot be read \(.*\): it is damaged or was not"):
        one.prepare()
    assert not one.folder.exists()


def test_a_tar_that_was_cut_off_between_members(source, tmp_path):
    path = write_tar(tmp_path / "0.tar", shard(0, 40, lambda n: ("cls", "ab"[n % 2])))
    with tarfile.open(path) as tar:
        offset = tar.getmembers()[20].offset
    path.write_bytes(path.read_bytes()[:offset])
    with pytest.raises(
        DataError, match=r"0.tar cannot be read \(.*\): it is damaged or was not do"
    ):
        source("0.tar").check()
