"""Files that `datasets` and pandas write: every image with its class, as it was stored."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from datamodules.errors import DataError
from datamodules.sources.huggingface.huggingface import HuggingFace
from tests.conftest import ROOT, needs_extra
from tests.datamodules.sources.huggingface.conftest import encoded

pytestmark = [needs_extra("datasets"), needs_extra("pyarrow")]


def read(source):
    """split -> [(name of the image, class)], once the bytes of all images are as they were."""
    names = source.check()
    source.prepare()
    index = source.read()
    assert index.class_names == names
    found = {}
    for split, items in index.splits.items():
        found[split] = []
        for item in items:
            name, label = Path(item.group).name, names[item.label] if item.label >= 0 else None
            number, suffix = name.split(".")
            kind = {"jpg": "JPEG", "jpeg": "JPEG"}.get(suffix, suffix.upper())
            assert Path(item.path).read_bytes() == encoded(int(number), kind)
            found[split].append((int(number), label))
    return found


def of(start, count, labels=("zebra", "ant")):
    return [(n, labels[n % len(labels)]) for n in range(start, start + count)]


def test_a_parquet_file_with_the_features_of_datasets(made, source, tmp_path):
    made().to_parquet(tmp_path / "photos.parquet")
    one = source("photos.parquet")
    assert not one.is_made and not one.folder.exists()
    assert one.check() == ("zebra", "ant")  # the order of the ClassLabel
    assert read(one) == {"unsplit": of(0, 6)}
    assert source("photos.parquet").is_made
    assert one.read().notes == ("images are in the column 'image', classes in 'label'",)


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (("train-00000-of-00002", "train-00001-of-00002", "validation-00000-of-00001", "test-00000-"
          "of-00001"), {"train": of(0, 8), "val": of(8, 4), "test": of(12, 4)}),
        (("train-00000-of-00001", "test-00000-of-00001"), {"unsplit": of(0, 4), "test": of(4, 4)}),
        (("train/0000", "train/0001", "Valid/0000"), {"train": of(0, 8), "val": of(8, 4)}),
        (("part-0", "part-1"), {"unsplit": of(0, 8)}),
        (("0000", "0001"), {"unsplit": of(0, 8)}),
        (("test",), {"test": of(0, 4)}),
        (("my-dev-set",), {"val": of(0, 4)}),
    ],
)  # fmt: skip
def test_folders_of_parquet_files(made, source, tmp_path, names, splits):
    for number, name in enumerate(names):
        path = tmp_path / "repository" / "data" / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        made(4 * number, 4).to_parquet(path)
    (tmp_path / "repository" / "README.md").write_text("---\nlicense: mit\n---")
    (tmp_path / "repository" / ".cache").mkdir()
    assert read(source("repository")) == splits
    if len(names) > 1:
        first = f"repository/data/{names[0].partition('/')[0][:4]}*{'/*' * ('/' in names[0])}"
        assert next(iter(read(source(f"{first}.parquet")).values()))[0] == (0, "zebra")


def test_a_split_of_another_name_is_left_out_and_said(made, source, tmp_path):
    (tmp_path / "data").mkdir()
    for start, name in ((0, "train"), (4, "extra"), (8, "test")):
        made(start, 4).to_parquet(tmp_path / "data" / f"{name}-00000-of-00001.parquet")
    one = source("data")
    assert read(one) == {"unsplit": of(0, 4), "test": of(8, 4)}
    assert one.read().left_out == (
        ("files whose names say no split", 1, "extra-00000-of-00001.parquet"),
    )


def test_what_save_to_disk_leaves(made, source, tmp_path):
    import datasets

    made().save_to_disk(tmp_path / "one")
    assert read(source("one")) == {"unsplit": of(0, 6)}
    splits = {
        "train": made(0, 6),
        "validation": made(6, 2),
        "test": made(8, 3),
        "pool": made(11, 2),
    }
    datasets.DatasetDict(splits).save_to_disk(tmp_path / "several")
    several = source("several")
    assert read(several) == {"train": of(0, 6), "val": of(6, 2), "test": of(8, 3)}
    assert several.read().left_out == (("splits of other names", 1, "pool"),)
    made(0, 9).filter(lambda row: row["label"] == 1).save_to_disk(tmp_path / "filtered")
    assert read(source("filtered")) == {"unsplit": [(n, "ant") for n in (1, 3, 5, 7)]}
    made(0, 700).save_to_disk(tmp_path / "shards", num_shards=3)
    assert read(source("shards")) == {"unsplit": of(0, 700)}


def test_bytes_are_kept_and_not_encoded_anew(made, source, tmp_path):
    made(0, 4, kind="JPEG").to_parquet(tmp_path / "jpegs.parquet")
    assert read(source("jpegs.parquet")) == {"unsplit": of(0, 4)}


def test_columns_of_pandas(source, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    def write(name, **columns):
        pq.write_table(pa.table(columns), tmp_path / f"{name}.parquet")
        return source(f"{name}.parquet")

    images = [encoded(n) for n in range(4)]
    texts = write("texts", jpg=images, id=list("wxyz"), label=["dog", "cat", "dog", "cat"])
    assert texts.check() == ("cat", "dog")
    texts.prepare()
    assert [Path(i.path).name for i in texts.read().splits["unsplit"]] == [
        f"00000{n}.png" for n in range(4)
    ]
    assert write("numbers", image=images, label=[10, 2, 10, 2]).check() == ("2", "10")
    assert write("flags", image=images, label=[True, False, True, False]).check() == (
        "false", "true")  # fmt: skip
    codes = pa.array(["b", "a", "b", "a"]).dictionary_encode()
    assert write("codes", image=images, label=codes).check() == ("a", "b")
    lacking = write("lacking", image=images, label=["b", None, "", "a"])
    lacking.prepare()
    assert [item.label for item in lacking.read().splits["unsplit"]] == [1, 0]
    assert lacking.read().left_out[0][:2] == ("images without a class", 2)
    named = source("numbers.parquet", class_names=[*"abcdefghij", "k"])
    named.prepare()
    assert [item.label for item in named.read().splits["unsplit"]] == [10, 2, 10, 2]


def test_names_of_images_that_would_clash_or_leave_the_folder(source, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = ["a.png", "A.PNG", "b/a.png", "../../evil.png", "", None, ".x", "n" * 400 + ".png"]
    images = [{"bytes": encoded(n), "path": name} for n, name in enumerate(names)]
    pq.write_table(pa.table({"image": images, "label": list("aabbaabb")}), tmp_path / "x.parquet")
    one = source("x.parquet")
    one.prepare()
    items = one.read().splits["unsplit"]
    assert [item.group.removeprefix("unsplit/") for item in items] == [
        "a.png", "A_000001.png", "a_000002.png", "evil.png", "000004.png", "000005.png", "x.png",
        "000007.png"]  # fmt: skip
    for number, item in enumerate(items):
        assert Path(item.path).read_bytes() == encoded(number)
    assert {path.parent for path in tmp_path.rglob("*.png")} == {one.folder / "unsplit"}


def test_images_that_are_stored_as_paths(source, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    (tmp_path / "photos").mkdir()
    for n in range(4):
        (tmp_path / "photos" / f"{n}.png").write_bytes(encoded(n))
    paths = ["photos/0.png", str(tmp_path / "photos" / "1.png"), "photos/2.png", "photos/3.png"]
    images = [{"bytes": None, "path": path} for path in paths]
    table = pa.table({"image": images, "label": list("abab"), "file": paths})
    pq.write_table(table, tmp_path / "x.parquet")
    assert read(source("x.parquet")) == {"unsplit": of(0, 4, "ab")}
    assert read(source("x.parquet", image_column="file")) == {"unsplit": of(0, 4, "ab")}
    (tmp_path / "photos" / "2.png").unlink()
    lacking = source("x.parquet", label_column="label", class_names=["b", "a"])
    with pytest.raises(DataError, match="only the path of an image, photos/2.png, and it is not"):
        lacking.prepare()
    assert not lacking.folder.exists()


def test_a_test_without_classes_is_predicted(made, source, tmp_path):
    import datasets

    (tmp_path / "data").mkdir()
    made(0, 4).to_parquet(tmp_path / "data" / "train.parquet")
    made(4, 3).remove_columns("label").to_parquet(tmp_path / "data" / "test.parquet")
    assert read(source("data")) == {"unsplit": of(0, 4), "predict": [(n, None) for n in (4, 5, 6)]}
    hidden = made(4, 3).map(lambda row: {"label": -1}, features=made(4, 3).features)
    splits = datasets.DatasetDict({"train": made(0, 4), "test": hidden})
    splits.save_to_disk(tmp_path / "saved")
    assert read(source("saved")) == read(source("data"))


@pytest.mark.parametrize(
    ("write", "said"),
    [
        ({"x": {"image": [b"a"] * 2, "thumb": [b"b"] * 2, "depth": [b"b"] * 2, "label": [0, 1]}},
         None),
        ({"x": {"a": [b"a"] * 2, "b": [b"b"] * 2, "label": [0, 1]}},
         r"x.parquet is known to hold the images \(a, b could be it\): name it by data.source.ima"),
        ({"x": {"image": [[[1]]] * 2, "label": [0, 1]}},
         "The column 'image' of .* and no encoded images: cast it to datasets.Image()"),
        ({"x": {"words": ["a", "b"], "label": [0, 1]}}, r"there are words, label\."),
        ({"x": {"image": [b"a"] * 2, "fine": [0, 1], "coarse": [0, 0]}},
         r"known to hold the classes \(fine, coarse could be it\): name it by data.source.label_c"),
        ({"x": {"image": [b"a"] * 2, "labels": [[0, 1], [1]]}},
         "The column 'labels' of .* holds several classes of an image: only one can be learnt"),
        ({"x": {"image": [b"a"] * 2}}, "gives no image a class: name the classes by"),
        ({"x": {"image": [b"a"] * 2, "label": [0.5, 0.7]}}, "holds numbers with fractions, as 0.5"),
        ({"x": {"image": [b"a"] * 20, "id": [*range(20)]}}, "another value for each of 20 images"),
        ({"x": {"image": [b"a"] * 20, "name": [f"n{n}" for n in range(20)]}},
         "has another value for each of 20 images"),
        ({"x": {"image": [], "label": []}}, "has no rows"),
        ({"a/train": {"image": [b"a"], "label": [0]}, "b/train": {"image": [b"a"], "label": [1]}},
         "holds files of the split train in several folders"),
    ],
)  # fmt: skip
def test_columns_that_cannot_be_told(source, tmp_path, write, said):
    import pyarrow as pa
    import pyarrow.parquet as pq

    for name, columns in write.items():
        path = tmp_path / "data" / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(columns), path)
    if said is None:
        assert source("data").check()
        return
    with pytest.raises(DataError, match=said) as error:
        source("data").check()
    assert "\n" not in str(error.value)


def test_columns_by_name(source, made, tmp_path):
    made().rename_columns({"image": "a", "label": "b"}).to_parquet(tmp_path / "x.parquet")
    assert source("x.parquet", image_column="a", label_column="b").check() == ("zebra", "ant")
    with pytest.raises(DataError, match=r"has no column 'c'; there are a, b: name one by data.sou"):
        source("x.parquet", label_column="c").check()
    with pytest.raises(DataError, match=r"has no column 'c'; .*data.source.image_column=\.\.\."):
        source("x.parquet", image_column="c").check()


def test_files_of_two_data_sets(source, made, tmp_path):
    (tmp_path / "data").mkdir()
    made(0, 4).to_parquet(tmp_path / "data" / "train.parquet")
    other = made(4, 4, ("cat", "dog"), classes=("cat", "dog"))
    other.to_parquet(tmp_path / "data" / "test.parquet")
    with pytest.raises(DataError, match="have different classes in 'label': set data.root to"):
        source("data").check()


@pytest.mark.parametrize("root", ["cifar10", "user/name", "hf://datasets/user/name"])
def test_names_of_the_hub_are_refused(root, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=f"data.root={root} is no file or folder here, and data set"
                       r".*hf download NAME --repo-type dataset --local-dir"):  # fmt: skip
        HuggingFace(root=root).check()


def test_files_that_cannot_be_read(source, made, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no Parquet, Arrow or tar files: folders of images"):
        source("empty").check()
    with pytest.raises(DataError, match="my photos does not exist: set data.root to a Parquet fil"):
        source("my photos").check()
    (tmp_path / "lfs.parquet").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:")
    with pytest.raises(DataError, match="only says where git keeps the file: fetch it by `git lfs"):
        source("lfs.parquet").check()
    made().to_parquet(tmp_path / "x.parquet")
    content = (tmp_path / "x.parquet").read_bytes()
    (tmp_path / "x.parquet").write_bytes(content[: len(content) // 2])
    with pytest.raises(
        DataError, match=r"x.parquet cannot be read \(.*\): it is damaged or was no"
    ):
        source("x.parquet").check()
    made().save_to_disk(tmp_path / "saved")
    (tmp_path / "saved" / "data-00000-of-00001.arrow").unlink()
    with pytest.raises(DataError, match=r"data-00000-of-00001.arrow cannot be read \(No such file"):
        source("saved").check()
    (tmp_path / "saved" / "state.json").write_text("{")
    with pytest.raises(DataError, match=r"state.json cannot be read \(.*save the data set again"):
        source("saved").check()


def test_a_label_beyond_the_class_label(source, made, tmp_path):
    import pyarrow.parquet as pq

    made().to_parquet(tmp_path / "x.parquet")
    table = pq.read_table(tmp_path / "x.parquet")
    column = table.schema.get_field_index("label")
    changed = table.set_column(column, table.schema.field(column), [[0, 1, 2, 0, 1, 0]])
    pq.write_table(changed, tmp_path / "x.parquet")
    one = source("x.parquet")
    with pytest.raises(DataError, match="holds the label 2, and its 2 classes are numbered from 0"):
        one.prepare()
    assert not one.folder.exists()


def test_reading_needs_neither_datasets_nor_a_network_nor_torch(made, tmp_path):
    made().to_parquet(tmp_path / "x.parquet")
    program = (
        "import socket, sys\n"
        "def refuse(*_, **__): raise AssertionError('a network')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "from datamodules import HuggingFace\n"
        f"source = HuggingFace(root={str(tmp_path / 'x.parquet')!r},"
        f" unpacked_dir={str(tmp_path / 'u')!r})\n"
        "source.check(); source.prepare(); assert len(source.read().splits['unsplit']) == 6\n"
        "assert not {'torch', 'cv2', 'datasets', 'huggingface_hub', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT, capture_output=True)


def test_without_the_extra(tmp_path, monkeypatch):
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DataError, match=r"x.parquet needs pyarrow .* 'model-diet\[huggingface\]'"):
        HuggingFace(root=str(tmp_path / "x.parquet")).check()


def test_a_written_folder_that_was_damaged(made, source, tmp_path):
    made().to_parquet(tmp_path / "x.parquet")
    one = source("x.parquet")
    one.prepare()
    (one.folder / "index.json").write_text(json.dumps({"class_names": []}))
    with pytest.raises(DataError, match="was written by this program and is damaged"):
        source("x.parquet").check()
