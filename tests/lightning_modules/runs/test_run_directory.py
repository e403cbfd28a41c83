"""Names, pointers and what a refusal removes."""

import os
import resource
import subprocess
import sys

import pytest
from omegaconf import OmegaConf

from lightning_modules.config.composing import multirun_name
from lightning_modules.errors import ConfigError
from lightning_modules.files import write_json
from lightning_modules.runs import run_directory


def test_two_runs_of_one_second_have_two_folders(homes, compose_config):
    names = set()
    for _ in range(3):
        run_directory._run_folder.cache_clear()
        names.add(run_directory._run_folder("mnasnet_taco"))
    assert len(names) == 3


def test_the_name_says_model_data_and_steps(compose_config):
    cfg = compose_config("model=resnet", "+compression=tucker", hydra=True)
    assert run_directory.run_name(cfg) == "resnet_synthetic_tucker"


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["seed=0,1,2"], "shufflenet_g3_synthetic_seed"),
        (["data.fold=0,1", "seed=0,1", "data.num_folds=5"], "shufflenet_g3_synthetic_fold_seed"),
        (["model=resnet,blocks/diet_found", "seed=0"], "synthetic_model"),
        (["+compression=[tucker],[prune]", "optimizer.lr=1,2"], "shufflenet_g3_synthetic_compre"),
        (["seed=0"], "shufflenet_g3_synthetic"),
    ],
)
def test_a_study_is_named_after_what_it_sweeps(compose_config, words, name):
    cfg = compose_config(hydra=True)
    cfg.hydra.overrides.task = words  # Hydra composes the parent without the values swept over
    assert multirun_name(cfg).startswith(name)


def test_trials_stay_in_their_study_whatever_their_model(homes, compose_config):
    parent = compose_config(hydra=True)
    trial, other = (compose_config("model=resnet", hydra=True) for _ in range(2))
    folder = parent.hydra.sweep.dir
    OmegaConf.copy_cache(parent, trial)  # as Hydra does for each trial
    assert trial.hydra.sweep.dir == folder
    assert other.hydra.sweep.dir != folder


def test_pointers_name_the_latest(homes):
    for name in ("one", "two"):
        (homes / name).mkdir()
        run_directory.update_pointer(run_directory.FINISHED, homes / name)
    assert run_directory.resolve("last", run_directory.FINISHED) == homes / "two"
    (homes / "two").rmdir()
    with pytest.raises(ConfigError, match="no longer exists"):
        run_directory.resolve("last", run_directory.FINISHED)


def test_nan_never_reaches_a_file(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "metrics.json", {"val/f1": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_a_refusal_removes_only_what_the_command_made(tmp_path):
    made, older = tmp_path / "day" / "made", tmp_path / "older"
    older.mkdir()
    (older / "notes.txt").write_text("mine")
    for folder in (made, older):
        run_directory.register(folder)
        (folder / ".hydra").mkdir(parents=True)
        (folder / "run.log").write_text("")
        run_directory.cleanup(folder)
    assert not made.parent.exists()
    assert [path.name for path in older.iterdir()] == ["notes.txt"]


def test_who_is_interrupted_at_its_start_leaves_nothing_new(tmp_path, monkeypatch):
    monkeypatch.setattr(run_directory, "_begun", [])
    older, new = tmp_path / "older", tmp_path / "day" / "new"
    older.mkdir()
    for folder in (older, new):
        run_directory.register(folder)
        (folder / ".hydra").mkdir(parents=True)
    run_directory.leave_nothing()
    assert (older / ".hydra").is_dir() and not new.parent.exists()


def test_a_place_where_no_run_can_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"file/day \(Not a directory\).*MODEL_DIET_OUTPUTS=DIR"):
        run_directory.make_writable(tmp_path / "file" / "day")
    with pytest.raises(ConfigError, match=r"caf\\xe9: its name is not UTF-8"):
        run_directory.make_writable(tmp_path / os.fsdecode(b"caf\xe9"))
    folder = tmp_path / "new"
    run_directory.make_writable(folder)
    assert not list(folder.iterdir())
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(ConfigError, match=r"other \(File too large\).*hydra\.run\.dir=DIR\."):
            run_directory.make_writable(tmp_path / "other")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not (tmp_path / "other").exists()


def test_a_pointer_leaves_nothing_of_one_that_was_killed(homes):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    (homes / "outputs").mkdir()
    (homes / "outputs" / f".{run_directory.STARTED}.{ended.pid}.part").touch()
    run_directory.update_pointer(run_directory.STARTED, homes)
    assert [path.name for path in (homes / "outputs").iterdir()] == [run_directory.STARTED]


def test_a_pointer_to_a_folder_whose_name_is_not_utf8(homes):
    folder = homes / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    run_directory.update_pointer(run_directory.STARTED, folder)
    assert run_directory.resolve("last", run_directory.STARTED) == folder


def test_the_home_folder_of_a_run(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "run").mkdir()
    assert run_directory.resolve("~/run", run_directory.STARTED) == tmp_path / "run"
