"""`study.db` deleted or replaced while its search runs is a sentence, and no new empty file."""

import shutil
from pathlib import Path

import pytest

from lightning_modules.errors import ConfigError
from lightning_modules.search.results import show_results
from lightning_modules.search.storage_file import check_file, file_of
from tests.lightning_modules.search.test_worker import distance


@pytest.mark.parametrize("replaced", [False, True])
def test_a_storage_that_goes_while_trials_run(search, tmp_path, replaced):
    path = tmp_path / "study" / "study.db"

    def value(given):
        if given["trial"] == "1":
            kept = tmp_path / "kept.db"
            shutil.copy(path, kept)
            if replaced:
                Path(shutil.copy(kept, tmp_path / "other.db")).replace(path)
            else:
                path.unlink()
        return distance(given)

    what = "is another file than this search began with" if replaced else "is gone"
    with pytest.raises(ConfigError, match=f"storage {path} {what}: put the file back"):
        search(value, "sweep.n_trials=4")
    assert path.exists() == replaced
    if replaced:
        return
    with pytest.raises(ConfigError, match=f"storage {path} is gone"):
        show_results(tmp_path / "study")
    assert not path.exists()
    shutil.copy(tmp_path / "kept.db", path)
    study, _ = search(distance, "sweep.n_trials=4")  # as the sentence says
    assert [trial.state.name for trial in study.trials].count("COMPLETE") >= 3


def test_databases_that_are_no_files(tmp_path):
    for url in (
        "postgresql://user@host/name", "sqlite://", "sqlite:///:memory:",
        "sqlite:///file:x?mode=memory&uri=true",
    ):  # fmt: skip
        assert file_of(url) is None
        check_file(url)
    (tmp_path / "study.db").touch()
    check_file(f"sqlite:///{tmp_path}/study.db")
