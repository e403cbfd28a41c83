"""A study's database, and the version of Optuna that made it."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import optuna
import pytest

from lightning_modules.errors import ConfigError
from lightning_modules.search.storage import open_storage
from tests.conftest import ROOT
from tests.lightning_modules.search.test_worker import distance

OVERLAY = ROOT / ".optuna5"  # another Optuna, made by `make test-all`
MADE = "import optuna, sys; optuna.create_study(storage=sys.argv[1], study_name='theirs')"


def test_another_schema_is_refused_with_what_to_do(tmp_path):
    url = f"sqlite:///{tmp_path / 'study.db'}"
    open_storage(url)
    with sqlite3.connect(tmp_path / "study.db") as database:
        database.execute("UPDATE version_info SET library_version = '9.0.0'")
        database.execute("UPDATE alembic_version SET version_num = 'v9.0.0.a'")
    with pytest.raises(ConfigError) as refused:
        open_storage(url)
    assert str(refused.value) == (
        f"The study's storage {url} is of another Optuna: The runtime optuna version "
        f"{optuna.__version__} is no longer compatible with the table schema (set up by optuna "
        "9.0.0); go on with that one, or copy the database first and then run `optuna storage "
        f"upgrade --storage {url}` with the newer one, which cannot be undone."
    )


@pytest.mark.skipif(not OVERLAY.is_dir(), reason="needs a second Optuna, as `make test-all` has")
def test_a_study_of_the_other_optuna(search, tmp_path):
    """Of Optuna 5 where 2 runs the tests, and the other way round."""
    (tmp_path / "study").mkdir()
    url = f"sqlite:///{tmp_path / 'study' / 'study.db'}"
    here = Path(optuna.__file__).is_relative_to(OVERLAY)
    environment = {**os.environ, "PYTHONPATH": "" if here else str(OVERLAY)}
    subprocess.run([sys.executable, "-c", MADE, url], env=environment, check=True)
    with pytest.raises(ConfigError, match="of another Optuna: .*`optuna storage upgrade --storage"):
        search(distance, "sweep.n_trials=1")
    if here:
        optuna.storages.RDBStorage(url, skip_compatibility_check=True).upgrade()
        study, _ = search(distance, "sweep.n_trials=1")
        assert [trial.state.name for trial in study.trials] == ["COMPLETE"]


def test_a_folder_with_another_studys_trials_is_refused(search, tmp_path):
    search(distance, "sweep.n_trials=2")
    trials = tmp_path / "study" / "trials"
    for number in ("0", "1"):
        (trials / number).mkdir(parents=True)
    kept = sqlite_files(tmp_path / "study")
    with pytest.raises(
        ConfigError, match=r"holds trials of the study (\w+), which differs from "
    ) as e:
        search(distance, "sweep.n_trials=2", "seed=7")
    assert " in fixed overrides; give another hydra.sweep.dir" in str(e.value)
    with pytest.raises(ConfigError, match="which differs from mine in name; give another"):
        search(distance, "sweep.n_trials=2", "hydra.sweeper.study_name=mine")
    # the same study in another storage, where its numbers begin again
    elsewhere = f"hydra.sweeper.storage=sqlite:///{tmp_path}/other.db"
    with pytest.raises(ConfigError, match="holds trials, but the storage knows no study called"):
        search(distance, "sweep.n_trials=2", elsewhere)
    assert sqlite_files(tmp_path / "study") == kept
    for number in ("2", "3", "4"):
        (trials / number).mkdir()
    with pytest.raises(
        ConfigError, match=r"trials up to number 4, but the study \w+ in the storage"
    ):
        search(distance, "sweep.n_trials=2")


def sqlite_files(folder):
    return {path: path.read_bytes() for path in folder.iterdir() if path.suffix == ".json"}
