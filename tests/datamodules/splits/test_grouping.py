import logging
from collections import Counter

import pytest

from datamodules.errors import DataError
from datamodules.sources.source import Index, Item
from datamodules.splits.grouping import Grouping, joined, named_copies, said_groups
from datamodules.splits.splits import Splits

HASHES = ("2f6a9c1e0b7d4e55a1c3f00912ab34cd", "9Tq3xKz81LmPw0aB", "0a1b2c3d")
UUID = "2504e0-4f89-11d3-9a0c-0305e82c3301"


def together(*names) -> set[frozenset[str]]:
    found: dict[str, set[str]] = {}
    for name, group in named_copies(names).items():
        found.setdefault(group, set()).add(name)
    return {frozenset(group) for group in found.values()}


@pytest.mark.parametrize(
    "names",
    [
        [f"cat/IMG_1_jpg.rf.{code}.jpg" for code in HASHES],
        ["cat/a_aug0.jpg", "cat/a_aug12.jpg", "cat/a.jpg"],
        ["cat/a_aug_1.png", "cat/a-aug-2.png", "cat/a.augmented3.jpg"],
        ["cat/a_aug1.jpg", "cat/a_aug1_aug2.jpg"],
        [f"cat/cat_original_7.jpg_{code}{UUID}.jpg" for code in ("3f", "4e")],
        ["d/a.jpg", "d/a_copy.jpg", "d/a copy 2.jpg", "d/a - Copy.jpg", "d/a - Kopie (3).jpg"],
        ["d/a.jpg", "d/a_flip.jpg", "d/a_rot90.jpg", "d/a_hflip.png", "d/a_flipped_rotated.jpg"],
        ["d/a.jpg", "d/a_bright.jpg", "d/a_blurred.jpg", "d/a_noise2.jpg", "d/a-cropped.jpg"],
        ["train/cat/a.rf.123456.jpg", "valid/cat/a.rf.abcdef.jpg"],
    ],
)  # fmt: skip
def test_names_of_versions(names):
    assert together(*names) == {frozenset(names)}


@pytest.mark.parametrize(
    "names",
    [
        ["cat/img_1.jpg", "cat/img_2.jpg", "cat/img_10.jpg"],
        ["cat/frame0001.jpg", "cat/frame0002.jpg"],
        ["cat/cat (1).jpg", "cat/cat (2).jpg", "cat/cat (3).jpg"],
        ["cat/image.jpg", "cat/image (1).jpg"],  # downloads of different pictures
        ["cat/aug_1.jpg", "cat/aug_2.jpg"],
        ["cat/2020_aug_05.jpg", "cat/2020_sep_05.jpg"],
        ["cat/sky_dark.jpg", "cat/sky_bright.jpg"],  # without an original, a word may mean much
        ["cat/a.jpg", "dog/a.jpg"],
        ["cat/a.rf.123456.jpg", "dog/a.rf.123457.jpg"],
        ["cat/a.jpg", "cat/a.png"],
        ["train/cat/001.jpg", "val/cat/001.jpg"],  # each folder has its own numbers
        ["train/cat/001_aug1.jpg", "val/cat/001_aug1.jpg"],
        ["cat/haug1.jpg", "cat/haug2.jpg"],
        ["cat/photocopy.jpg", "cat/photo.jpg"],
        ["cat/robot.jpg", "cat/robot_crop_top_field.jpg"],
    ],
)
def test_names_of_different_photographs(names):
    assert together(*names) == set()


def test_folders_with_numbers_of_their_own_are_grouped_apart():
    names = [f"{split}/cat/001_aug{n}.jpg" for split in ("train", "val") for n in (1, 2)]
    assert together(*names) == {frozenset(names[:2]), frozenset(names[2:])}


def items(names, label=0) -> list[Item]:
    return [Item(f"/{name}", label, None, name) for name in names]


def test_more_than_copies_can_be_of_a_class_is_no_group(caplog):
    many = items([f"cat/frame_aug{n}.jpg" for n in range(80)])
    few = items([f"dog/{n}_aug{v}.jpg" for n in range(2) for v in range(3)], label=1)
    with caplog.at_level(logging.INFO):
        grouping = Grouping("auto", [*many, *few], {}, [*many, *few])
        assert Counter(grouping.group_of.values()) == {"dog/0": 3, "dog/1": 3}
        grouping.tell()
    assert "6 images belong to 2 groups, which no split parts" in caplog.text
    assert (
        "1 groups of copies or look-alikes are too much of a class and are not kept together; the "
        "largest: 80 images such as cat/frame_aug0.jpg and cat/frame_aug1.jpg." in caplog.text
    )


@pytest.mark.parametrize(("count", "kept"), [(2, True), (5, True), (6, False), (30, False)])
def test_look_alikes_above_five_percent_of_a_class_are_no_group(count, kept):
    images = items([f"cat/{n}.jpg" for n in range(100)])
    alike = {item.group: "cat/0.jpg" for item in images[:count]}
    grouping = Grouping("auto", images, {}, images, lambda _: alike)
    assert set(grouping.group_of) == (set(alike) if kept else set())
    assert [len(group) for group in grouping.too_large] == ([] if kept else [count])


def test_groups_by_name_and_by_looks_meet():
    names = {"a1": "a", "a2": "a", "b1": "b", "b2": "b"}
    assert joined(names, {"a2": "x", "b1": "x", "c": "x"}) == dict.fromkeys(
        ("a1", "a2", "b1", "b2", "c"), "a1"
    )


def index(names, **settings) -> Index:
    return Index(("cat", "dog"), {"unsplit": items(names)}, **settings)


VISITS = [f"p{n // 4}/visit{n % 4 // 2 + 1}_{n % 2 + 1}.png" for n in range(48)]


@pytest.mark.parametrize(
    ("groups", "group_of"),
    [
        (r"^(p\d+)/", lambda name: name.split("/")[0]),
        (r"p\d+/visit\d", lambda name: name[:-6]),
        ("patient", lambda name: str(int(name.split("/")[0][1:]) // 2)),
    ],
)
def test_what_the_user_says_stays_together(groups, group_of):
    column = {name: str(int(name.split("/")[0][1:]) // 2) for name in VISITS}
    found = index(VISITS, columns={"patient": column})
    split = Splits(groups=groups).apply(found).splits
    where: dict[str, set[str]] = {}
    for name, members in split.items():
        for item in members:
            where.setdefault(group_of(item.group), set()).add(name)
    assert {len(splits) for splits in where.values()} == {1} and set(split) == {
        "train",
        "val",
        "test",
    }
    folds = [Splits(groups=groups, num_folds=3, fold=n).apply(found).splits for n in range(3)]
    sides = [{group_of(item.group) for item in fold["val"]} for fold in folds]
    assert not sides[0] & sides[1] and not sides[1] & sides[2] and not sides[0] & sides[2]


@pytest.mark.parametrize(
    ("groups", "columns", "sentence"),
    [
        ("(p", {}, r"data.split.groups=\(p is no regular expression \(missing \)"),
        (r"subject(\d+)", {}, r"finds nothing in the 48 paths \(the first: p0/visit1_1.png\)"),
        ("patients", {"patient": {}}, "is no column of the table, which has patient"),
        ("visit", {}, r"makes one group of all 48 images \(visit\)"),
        ("site", {"site": dict.fromkeys(VISITS, "Bonn")}, r"makes one group of all 48 .*Bonn"),
        ("site", {"site": dict.fromkeys(VISITS, "")}, "finds nothing"),
    ],
)
def test_groups_that_cannot_be(groups, columns, sentence):
    with pytest.raises(DataError, match=sentence):
        Splits(groups=groups).apply(index(VISITS, columns=columns))
    splits = {"train": items(VISITS[:40]), "val": items(VISITS[40:])}
    with pytest.raises(DataError, match=sentence):  # also where nothing is shared out
        Splits(groups=groups).apply(Index(("cat", "dog"), splits, columns=columns))


def test_an_image_that_no_group_has_is_alone():
    found = said_groups(r"^p(\d)/", items(VISITS), {})
    assert set(found) == {name for name in VISITS if name[2] == "/"}


@pytest.mark.parametrize("groups", ["none", None])
def test_nothing_stays_together_where_it_is_not_wanted(groups):
    names = [f"cat/{n}_jpg.rf.{v}00000.jpg" for n in range(20) for v in range(3)]
    split = Splits(groups=groups).apply(index(names), find_copies=lambda _: pytest.fail("asked"))
    assert not split.related
    assert {item.group.split(".")[0] for item in split.splits["train"]} & {
        item.group.split(".")[0] for item in split.splits["val"]
    }


def test_copies_that_join_later_go_where_their_original_is(tmp_path):
    memory = tmp_path / "memory.csv"
    originals = [f"cat/{n}.jpg" for n in range(40)]
    first = Splits(memory=memory).apply(index(originals), write=True)
    where = {item.group: name for name, of in first.splits.items() for item in of}
    later = [*originals, *(f"cat/{n}_aug1.jpg" for n in range(40))]
    second = Splits(memory=memory).apply(index(later), write=True)
    for name, members in second.splits.items():
        for item in members:
            assert where[item.group.replace("_aug1", "")] == name


def test_split_files_already_written_part_groups_as_they_did(tmp_path):
    memory = tmp_path / "memory.csv"
    names = [f"cat/{n}_jpg.rf.{v}00000.jpg" for n in range(20) for v in range(3)]
    first = Splits(memory=memory, groups="none").apply(index(names), write=True)
    asked = lambda _: pytest.fail("asked")  # noqa: E731
    assert Splits(memory=memory).apply(index(names), find_copies=asked).splits == first.splits


def test_nothing_is_compared_where_nothing_is_shared_out():
    asked = lambda _: pytest.fail("asked")  # noqa: E731
    ready = Index(("cat", "dog"), {"train": items(["a", "b"]), "val": items(["c"])})
    assert Splits().apply(ready, write=True, find_copies=asked).splits == ready.splits
