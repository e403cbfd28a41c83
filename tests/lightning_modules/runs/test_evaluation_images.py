"""A saved network is measured on its run's own splits, or on other data in its own, or whole."""

import json
import shutil

import pytest

from lightning_modules.config.composing import config_over
from lightning_modules.errors import USER_ERRORS
from lightning_modules.runs import evaluation_data, find_record
from tests.lightning_modules.runs.conftest import class_folders, draw, members

CLASSES = ("cat", "dog", "owl")


def measure(run, *overrides, chosen=(), classes=CLASSES):
    return evaluation_data(run, config_over(run, list(overrides)), classes, chosen)


def counts(measured):
    return {split: len(items) for split, items in measured.index.splits.items()}


def by_class(measured, split):
    found = [measured.index.class_names[item.label] for item in measured.index.splits[split]]
    return {name: found.count(name) for name in sorted(set(found))}


def test_the_runs_own_splits_are_measured_wherever_and_whenever(
    make_run, photos, tmp_path, monkeypatch
):
    run, index = make_run()
    before = members(index)
    assert {split: len(names) for split, names in before.items()} == {
        "train": 24,
        "val": 6,
        "test": 6,
    }
    class_folders(photos, each=6, first=100)  # 18 join
    shutil.rmtree(tmp_path / "cache")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    measured = measure(run)
    assert members(measured.index) == {split: before[split] for split in ("val", "test")}
    assert measured.own and len(measured.index.new) == 18
    (note,) = measured.notes
    assert note == (
        f"18 images joined since {run} and are left out (first: cat/100.png, cat/101.png, "
        "cat/102.png)."
    )


def test_images_that_went_are_named(make_run, photos):
    run, index = make_run()
    gone = sorted(members(index)["val"])[0]
    (photos / gone).unlink()
    measured = measure(run)
    assert members(measured.index)["val"] == members(index)["val"] - {gone}
    assert measured.notes == (f"1 image of {run} is gone (first: {gone}).",)


def test_a_moved_root_is_the_runs_own_data(make_run, photos, tmp_path):
    run, index = make_run()
    moved = photos.rename(tmp_path / "moved")
    with pytest.raises(USER_ERRORS, match="photos does not exist"):
        measure(run)
    for words in ([f"data.root={moved}"], ["data=image_folder", f"data.root={moved}"]):
        measured = measure(run, *words)
        assert measured.own and members(measured.index)["val"] == members(index)["val"]
        assert not measured.notes


def test_a_relative_root_is_that_of_the_run(make_run, photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run, index = make_run("data.root=photos")
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    assert members(measure(run).index)["val"] == members(index)["val"]
    class_folders(here / "photos", each=2)  # another folder of that name
    assert members(measure(run).index)["val"] == members(index)["val"]


def test_a_folder_without_splits_is_measured_whole(make_run, tmp_path):
    run, _ = make_run()
    other = class_folders(tmp_path / "other", each=5, first=500)
    measured = measure(run, "data=image_folder", f"data.root={other}")
    assert counts(measured) == {"all": 15} and not measured.own and not measured.notes
    assert by_class(measured, "all") == {"cat": 5, "dog": 5, "owl": 5}


def test_other_splits_are_measured_as_they_are(make_run, tmp_path):
    run, _ = make_run()
    other = tmp_path / "other"
    for split, each in {"train": 6, "val": 3, "test": 2}.items():
        class_folders(other / split, each=each, first=500)
    words = ["data=image_folder", f"data.root={other}"]
    measured = measure(run, *words)
    assert counts(measured) == {"val": 9, "test": 6}
    assert measured.notes == (
        "data=image_folder has train (18 images) too; split=train,val,test measures these as well.",
    )
    assert counts(measure(run, *words, chosen=["train", "all"])) == {"train": 18, "all": 33}
    shutil.rmtree(other / "val")
    assert counts(measure(run, *words)) == {"test": 6}
    assert counts(measure(run, *words, chosen=["train"])) == {"train": 18}


@pytest.mark.parametrize(("column", "split"), [("", "all"), ("val", "val"), ("test", "test")])
def test_a_table_with_one_split_or_none(make_run, tmp_path, column, split):
    run, _ = make_run()
    other = class_folders(tmp_path / "other", each=4, first=500)
    names = [f"{c}/{n}.png" for c in ("owl", "cat") for n in range(500, 504)]
    rows = [f"{name},{name.split('/')[0]}" + (f",{column}" if column else "") for name in names]
    header = "path,label" + (",split" if column else "")
    (other / "labels.csv").write_text("\n".join([header, *rows]) + "\n")
    measured = measure(run, "data=csv", f"data.root={other}")
    assert by_class(measured, split) == {"cat": 4, "owl": 4}
    assert counts(measured) == {split: 8}


def test_a_split_that_is_not_there_is_refused(make_run):
    run, _ = make_run()
    with pytest.raises(
        USER_ERRORS,
        match=r"split=dev is none of the splits of data=image_folder; there are, with their "
        r"images: train \(24\), val \(6\), test \(6\), all \(36\)\.",
    ):
        measure(run, chosen=["val", "dev"])


def test_classes_in_another_order_are_matched_by_name(make_run, tmp_path):
    run, _ = make_run()
    other = class_folders(tmp_path / "other", each=3, first=500)
    known = ("owl", "cat", "dog")
    measured = measure(run, "data=image_folder", f"data.root={other}", classes=known)
    assert measured.index.class_names == known
    for item in measured.index.splits["all"]:
        assert known[item.label] == item.group.split("/")[0]


def test_some_of_the_classes_are_measured_and_said(make_run, tmp_path):
    run, _ = make_run()
    other = class_folders(tmp_path / "other", each=3, classes=("owl", "cat"), first=500)
    measured = measure(run, "data=image_folder", f"data.root={other}")
    assert by_class(measured, "all") == {"cat": 3, "owl": 3}
    (note,) = measured.notes
    assert note.startswith("all has images of 2 of the network's 3 classes, none of dog:")


def test_an_unknown_class_is_refused_by_name(make_run, tmp_path):
    run, _ = make_run()
    other = class_folders(tmp_path / "other", each=3, classes=("cat", "emu", "yak"), first=500)
    with pytest.raises(
        USER_ERRORS, match="knows the classes cat, dog, owl, but data=image_folder has emu, yak too"
    ):
        measure(run, "data=image_folder", f"data.root={other}")


def test_a_class_that_joined_the_runs_own_data_is_new_images(make_run, photos):
    run, index = make_run()
    class_folders(photos, each=4, classes=("emu",))
    measured = measure(run)
    assert members(measured.index)["val"] == members(index)["val"]
    assert measured.notes[0].startswith(f"4 images joined since {run}")
    for item in measured.index.splits["val"]:
        assert CLASSES[item.label] == item.group.split("/")[0]


def test_images_that_were_trained_on_are_counted(make_run, photos, tmp_path):
    run, index = make_run()
    (note,) = measure(run, chosen=["all"]).notes
    assert note.startswith(f"24 of the 36 images of all were trained on by {run} (first: cat/")
    assert "flatters" in note
    # The same files, as a folder of other names: a part of the root.
    (note,) = measure(run, f"data.root={photos}", "data.split.seed=7", chosen=["val"]).notes[1:]
    seen = members(measure(run, "data.split.seed=7", chosen=["val"]).index)["val"]
    assert note.startswith(f"{len(seen & members(index)['train'])} of the 6 images of val")


def test_a_part_of_the_trained_folder_is_known_by_its_files(make_run, tmp_path, compose_config):
    root = tmp_path / "sorted"
    for split, each in {"train": 8, "val": 4}.items():
        class_folders(root / split, each=each)
    run, _ = make_run(f"data.root={root}")
    words = ["data=image_folder", f"data.root={root}/train"]
    measured = measure(run, *words)
    assert counts(measured) == {"all": 24}
    assert measured.notes[0].startswith("24 of the 24 images of all were trained on")
    measured = measure(run, "data=image_folder", f"data.root={root}/val")
    assert counts(measured) == {"all": 12} and not measured.notes


def test_other_images_of_the_same_names_are_other_data(make_run, photos, tmp_path):
    run, index = make_run()
    other = class_folders(tmp_path / "other", colour=100)  # of the very names
    measured = measure(run, "data=image_folder", f"data.root={other}")
    assert counts(measured) == {"all": 36} and not measured.own and not measured.notes
    copied = shutil.copytree(photos, tmp_path / "copy")
    assert members(measure(run, f"data.root={copied}").index)["val"] == members(index)["val"]
    # Some copies of the run's own images are found among others.
    few = class_folders(tmp_path / "few", each=3, colour=100)
    for name in sorted(members(index)["train"])[:2]:
        shutil.copy(photos / name, few / f"{name.split('/')[0]}/{name.split('/')[1]}")
    measured = measure(run, f"data.root={few}")
    seen = len(list(few.rglob("*.png")))
    assert counts(measured) == {"all": seen} and not measured.own
    assert measured.notes[0].startswith(f"2 of the {seen} images of all were trained on")
    # Where the run's own are gone, names are all that there is.
    shutil.rmtree(photos)
    assert measure(run, f"data.root={other}").own


def test_other_settings_of_the_split_make_another_and_say_so(make_run):
    run, index = make_run()
    measured = measure(run, "data.split.seed=7")
    assert members(measured.index)["val"] != members(index)["val"]
    assert measured.notes[0] == f"data.split.seed=7 makes another split than that of {run}."
    assert "flatters" in measured.notes[1]


def test_a_fold_of_the_record_is_measured(make_run):
    run, index = make_run("data.fold=0", "data.num_folds=3")
    assert members(measure(run).index)["val"] == members(index)["val"]
    other = measure(run, "data.fold=1", chosen=["val"])
    assert not members(other.index)["val"] & members(index)["val"]
    assert other.notes[0].startswith("10 of the 10 images of val were trained on")


def test_a_users_list_of_other_data_is_followed(make_run, tmp_path):
    run, _ = make_run()
    other = class_folders(tmp_path / "other", each=4, first=500)
    names = [f"{c}/{n}.png" for c in CLASSES for n in range(500, 504)]
    rows = [f"{n},{'test' if n.endswith('3.png') else 'train'}" for n in names]
    rows[0] = rows[0].replace("train", "val")
    (tmp_path / "mine.csv").write_text("\n".join(["image,split", *rows]) + "\n")
    words = ["data=image_folder", f"data.root={other}", f"data.split.file={tmp_path}/mine.csv"]
    assert counts(measure(run, *words)) == {"val": 1, "test": 3}


def test_runs_of_earlier_versions_follow_the_cache(make_run, photos, tmp_path):
    run, index = make_run()
    (run / "splits.csv").unlink()
    assert find_record(run) is None
    measured = measure(run)
    assert members(measured.index)["val"] == members(index)["val"] and not measured.notes
    other = class_folders(tmp_path / "other", each=4, first=500)
    assert not measure(run, "data=image_folder", f"data.root={other}").notes
    shutil.rmtree(tmp_path / "cache")
    (note,) = measure(run).notes
    assert note.startswith(f"{run} has no splits.csv, as runs of earlier versions")
    assert "is not known" in note
    shutil.rmtree(tmp_path / "cache")
    (note,) = measure(run, "data=image_folder", f"data.root={other}").notes
    assert "has no splits.csv" in note


def test_nothing_is_written(make_run, photos, tmp_path):
    run, _ = make_run()
    kept = (run / "splits.csv").read_bytes()
    class_folders(photos, each=1, first=900)
    measure(run)
    measure(run, "data.split.seed=7")
    measure(run, "data.fold=0", "data.num_folds=3")
    assert (run / "splits.csv").read_bytes() == kept
    assert json.loads(kept.decode().splitlines()[0].removeprefix("# splits by Model Diet "))[
        "root"
    ] == str(photos)
    assert len(list((tmp_path / "cache" / "splits").iterdir())) == 1


def test_the_networks_resize_mode_stays_with_other_data(make_run, tmp_path):
    run, _ = make_run("data.resize_mode=pad")
    other = class_folders(tmp_path / "other", each=4, first=500)
    words = ["data=image_folder", f"data.root={other}"]
    assert config_over(run, words).data.resize_mode == "pad"
    assert config_over(run, [*words, "data.resize_mode=crop"]).data.resize_mode == "crop"
    assert draw(tmp_path / "x", ["a.png"]).is_dir()
