"""Names, pointers and what a refusal removes."""

import pytest

from lightning_modules import run_directory
from lightning_modules.atomic_files import write_json
from lightning_modules.errors import ConfigError


def test_two_runs_of_one_second_have_two_folders(homes, compose_config):
    names = set()
    for _ in range(3):
        run_directory._run_folder.cache_clear()
        names.add(run_directory._run_folder("mnasnet_taco"))
    assert len(names) == 3


def test_the_name_says_model_data_and_steps(compose_config):
    cfg = compose_config("model=resnet", "+compression=tucker", hydra=True)
    assert run_directory.run_name(cfg) == "resnet_synthetic_tucker"


def test_pointers_name_the_latest(homes):
    for name in ("one", "two"):
        (homes / name).mkdir()
        run_directory.point(run_directory.FINISHED, homes / name)
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
        run_directory.claim(folder)
        (folder / ".hydra").mkdir(parents=True)
        (folder / "run.log").write_text("")
        run_directory.discard(folder)
    assert not made.parent.exists()
    assert [path.name for path in older.iterdir()] == ["notes.txt"]
