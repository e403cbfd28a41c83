"""A run keeps its split, and what goes on from it splits as it did."""

import shutil

import pytest
from omegaconf import OmegaConf

from datamodules.splits import read_split_file
from lightning_modules.config.check import check
from lightning_modules.config.command_line import expand
from lightning_modules.registry import build
from lightning_modules.runs import find_record, saved_config
from lightning_modules.runs.run_splits import RunSplits, kept_splits
from tests.lightning_modules.runs.conftest import class_folders, members


@pytest.fixture
def go_on(homes, compose_config, words):
    """The splits of a run that starts from another one, or goes on in its folder."""

    def split(*more, name="next", study=None, write=True, **keys):
        cfg = OmegaConf.merge(compose_config(*words, *more), OmegaConf.create(keys))
        splits = RunSplits(cfg, homes / name, study)
        return splits.apply(build(cfg.data.source).read(), write=write)

    return split


def test_the_record_says_all_of_the_run(make_run, photos):
    run, index = make_run("data.fold=1", "data.num_folds=3")
    record = read_split_file(run / "splits.csv")
    assert record.root == str(photos) and record.of_run
    assert set(record.split_of) == {n for names in members(index).values() for n in names}
    val = {name for name, fold in record.fold_of[3].items() if fold == "1"}
    assert members(index)["val"] == val and len(val) == 10


def test_a_resumed_run_splits_as_it_did(make_run, go_on, photos, homes, caplog):
    run, index = make_run()
    class_folders(photos, each=6, first=100)
    gone = sorted(members(index)["train"])[0]
    (photos / gone).unlink()
    shutil.rmtree(homes / "cache")
    caplog.clear()
    again = go_on(name="run", resume=str(run))
    expected = {**members(index), "train": members(index)["train"] - {gone}}
    assert members(again) == expected
    (said,) = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert "18 images joined and are left out" in said and f"(the first: {gone})" in said


def test_a_run_that_starts_from_another_splits_as_that_one(make_run, go_on, photos, homes):
    run, index = make_run()
    class_folders(photos, each=6, first=100)
    shutil.rmtree(homes / "cache")
    plain = go_on(write=False)
    assert sum(map(len, members(plain).values())) == 54  # a new run takes the images that joined
    for write in (False, True):  # as it is checked, and as it is made
        assert members(go_on(from_run=str(run), write=write)) == members(index)
    record = read_split_file(homes / "next" / "splits.csv")
    assert record.split_of == read_split_file(run / "splits.csv").split_of


def test_the_images_may_have_moved(make_run, go_on, photos, homes):
    run, index = make_run()
    moved = photos.rename(homes / "moved")
    found = go_on(f"data.root={moved}", from_run=str(run))
    assert members(found) == members(index)
    assert read_split_file(homes / "next" / "splits.csv").root == str(moved)


def test_folds_of_a_run_are_columns_of_its_record(make_run, go_on, homes, caplog):
    run, _ = make_run("data.fold=0", "data.num_folds=3")
    fold = go_on("data.fold=1", "data.num_folds=3", from_run=str(run))
    of = read_split_file(run / "splits.csv").fold_of[3]
    assert members(fold)["val"] == {name for name, number in of.items() if number == "1"}
    assert "10 of the 10 val images were trained on by" in caplog.text
    shutil.rmtree(homes / "next")
    (homes / "next").mkdir()
    five = go_on("data.fold=1", "data.num_folds=5", from_run=str(run))
    record = read_split_file(homes / "next" / "splits.csv")
    assert sorted(record.fold_of) == [3, 5] and record.fold_of[3] == of
    assert members(five)["val"] == {n for n, fold in record.fold_of[5].items() if fold == "1"}


def test_another_split_is_made_where_it_is_asked_for(make_run, go_on, caplog):
    run, index = make_run()
    found = go_on("data.split.seed=7", from_run=str(run))
    assert members(found)["val"] != members(index)["val"]
    assert f"data.split.seed=7 makes another split than that of {run}." in caplog.text
    seen = members(found)["val"] & members(index)["train"]
    assert f"{len(seen)} of the 6 val images were trained on by {run}" in caplog.text


def test_other_images_are_split_anew(make_run, go_on, homes, caplog):
    run, _ = make_run()
    other = class_folders(homes / "other", each=8, first=500)
    found = go_on(f"data.root={other}", from_run=str(run))
    assert {split: len(names) for split, names in members(found).items()} == {
        "train": 18, "val": 3, "test": 3,
    }  # fmt: skip
    assert f"This is other data than that of {run}: it is split anew." in caplog.text
    assert "trained on by" not in caplog.text


def test_runs_of_earlier_versions_follow_the_cache(make_run, go_on, homes, photos, caplog):
    run, index = make_run()
    (run / "splits.csv").unlink()
    class_folders(photos, each=2, first=100)
    found = members(go_on(from_run=str(run)))
    assert all(found[split] >= names for split, names in members(index).items())
    assert sum(map(len, found.values())) == 42 and "not known" not in caplog.text
    shutil.rmtree(homes / "cache")
    shutil.rmtree(homes / "next")
    go_on(from_run=str(run))
    assert f"{run} has no splits.csv, as runs of earlier versions: whether it was" in caplog.text


def test_the_trials_of_a_study_share_a_record(make_run, go_on, photos, homes):
    study = homes / "study"
    study.mkdir()
    first, index = make_run("data.fold=0", "data.num_folds=3", name="study/trials/0", study=study)
    assert find_record(first) == study / "splits.csv"
    class_folders(photos, each=6, first=100)
    shutil.rmtree(homes / "cache")
    second, other = make_run("data.fold=1", "data.num_folds=3", name="study/trials/1", study=study)
    assert not (second / "splits.csv").exists()
    of = read_split_file(study / "splits.csv").fold_of[3]
    for found in (index, other):  # also the one that came after images joined
        assert members(found)["train"] | members(found)["val"] == of.keys()
    assert not members(index)["val"] & members(other)["val"]
    # Another process of a trial only reads.
    kept = (study / "splits.csv").read_bytes()
    cfg = saved_config(second)
    again = kept_splits(cfg, second).apply(build(cfg.data.source).read(), write=True)
    assert members(again) == members(other) and (study / "splits.csv").read_bytes() == kept


def test_trials_that_leave_out_other_images_share_the_rest(make_run, homes):
    study, listed = homes / "study", homes / "list.csv"
    study.mkdir()
    listed.write_text("path\ncat/000.png\ndog/001.png\n")
    words = [f"data.exclude={listed}"]
    _, fewer = make_run(*words, name="study/trials/0", study=study)
    _, all_of_them = make_run(name="study/trials/1", study=study)
    left_out = {"cat/000.png", "dog/001.png"}
    for split, names in members(all_of_them).items():
        assert members(fewer)[split] == names - left_out
    assert len({n for names in members(all_of_them).values() for n in names}) == 36


def test_trials_that_sweep_over_the_split_keep_their_own(make_run, homes):
    study = homes / "study"
    study.mkdir()
    runs = [
        make_run(f"data.split.seed={seed}", name=f"study/trials/{seed}", study=study)
        for seed in (0, 1, 2)
    ]
    vals = [members(index)["val"] for _, index in runs]
    assert vals[0] != vals[1] != vals[2] != vals[0]
    places = [find_record(run).parent for run, _ in runs]
    assert places == [study, runs[1][0], runs[2][0]]
    for run, index in runs:
        split_of = read_split_file(find_record(run)).split_of
        assert {n for n, split in split_of.items() if split == "val"} == members(index)["val"]


@pytest.mark.slow
def test_trials_that_start_from_a_run_split_as_that_one(make_run, go_on, photos, homes):
    run, index = make_run()
    class_folders(photos, each=6, first=100)
    study = homes / "study"
    study.mkdir()
    for number in (0, 1):
        found = go_on(from_run=str(run), name=f"study/trials/{number}", study=study)
        assert members(found) == members(index)
    assert not list((study).glob("trials/*/splits.csv"))


def test_a_teacher_gets_the_record_of_its_student(make_run, homes, photos):
    """Images that joined, and a cache that went, between student and teacher change nothing."""
    run, index = make_run("data.fold=0", "data.num_folds=3")
    cfg = saved_config(run)
    teacher = homes / "teachers" / "a"
    teacher.mkdir(parents=True)
    RunSplits(cfg, run).hand_on(teacher)
    class_folders(photos, each=4, first=100)
    shutil.rmtree(homes / "cache")
    found = RunSplits(cfg, teacher).apply(build(cfg.data.source).read(), write=True)
    assert members(found) == members(index)


def test_what_was_left_out_is_kept_with_the_run(make_run, photos, homes):
    listed = homes / "list.csv"
    listed.write_text("path\ncat/000.png\ndog/001.png\n")
    run, index = make_run(f"data.exclude={listed}")
    assert (run / "exclude.csv").is_file()
    listed.unlink()
    cfg = saved_config(run)
    assert cfg.data.exclude == str(run / "exclude.csv")
    again = RunSplits(cfg, run).apply(build(cfg.data.source).read())
    assert members(again) == members(index)
    assert "cat/000.png" not in members(index)["train"]


def test_the_words_of_from_run_lead_to_its_images(make_run, homes, monkeypatch):
    monkeypatch.chdir(homes)
    run, _ = make_run("data.root=photos")
    (run / "model").mkdir()
    (run / "model" / "network.yaml").write_text("class_names: [cat, dog, owl]\n")
    assert "++data.root='photos'" in expand([f"from_run={run}"])
    (homes / "elsewhere").mkdir()
    monkeypatch.chdir(homes / "elsewhere")
    assert f"++data.root='{homes / 'photos'}'" in expand([f"from_run={run}"])


def test_the_words_of_resume_lead_to_its_images(make_run, homes, monkeypatch):
    monkeypatch.chdir(homes)
    (homes / "list.csv").write_text("path\ncat/000.png\n")
    run, _ = make_run("data.root=photos", "data.exclude=list.csv")
    stored = ["data=image_folder", "data.root=photos", "data.exclude=list.csv"]
    (run / ".hydra" / "overrides.yaml").write_text("\n".join(f"- {word}" for word in stored))
    kept = f"++data.exclude='{run / 'exclude.csv'}'"
    assert expand([f"resume={run}"])[:4] == [*stored, kept]
    (homes / "elsewhere").mkdir()
    monkeypatch.chdir(homes / "elsewhere")
    there = f"++data.root='{homes / 'photos'}'"
    assert sorted(expand([f"resume={run}"])[3:5]) == sorted([there, kept])


def test_the_check_follows_the_record(make_run, photos, compose_config, words, homes):
    run, index = make_run()
    kept = sorted(members(index)["train"])[:3]
    for name in {n for names in members(index).values() for n in names} - set(kept):
        (photos / name).unlink()
    class_folders(photos, each=5, first=200)
    cfg = compose_config(*words)
    check(cfg)  # as new data it can be split
    cfg.resume = str(run)
    check(cfg)
    (run / "splits.csv").write_text("# splits by Model Diet {}\nimage,split\n")
    with pytest.raises(ValueError, match="begins as one of ours does"):
        check(cfg)
