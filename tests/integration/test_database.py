"""Searches whose PostgreSQL server is restarted on the way, and whose password nobody reads."""

import os
import signal
import subprocess
import time

import optuna
import pytest

from tests.conftest import run_command, start_command
from tests.integration.test_search import SEARCH, progress, rows
from tests.postgresql_server import postgresql_server, programs

pytest.importorskip("psycopg2", reason="needs the extra [postgresql]")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(programs() is None, reason="PostgreSQL's server is not installed"),
]
PASSWORD = "s3cr3t/W0rd@x"


def written(folder):
    """What lies in a folder, by path."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_server_that_restarts_and_a_password_that_stays_unread(
    homes, folder, monkeypatch, tmp_path_factory
):
    with postgresql_server(PASSWORD) as server:
        url = server.url.replace("diet@", f"diet:{PASSWORD}@")
        words = [*SEARCH, f"data.root={folder}", "model.units=[1,1,1]", "sweep.n_trials=4"]
        words += ["sweep.pruner=median", "sweep.pruner_epochs=1", "trainer.max_epochs=3"]
        search = start_command(
            *words, f"hydra.sweeper.storage={url}", "logger=tensorboard", stderr=subprocess.STDOUT
        )
        studies = homes / "outputs" / "studies"
        for how, seen in ((signal.SIGINT, 1), (signal.SIGQUIT, 5)):  # a restart, and a crash
            while progress(studies) < seen:
                assert search.poll() is None, search.stdout.read()
                time.sleep(0.02)
            server.restart(2, how)
        said = search.communicate(timeout=400)[0]
        assert search.returncode == 0 and "Traceback" not in said, said
        (study,) = studies.iterdir()
        assert [row["state"] for row in rows(study)] == ["finished"] * 4

        def run(*more, check=True, **environment):
            with monkeypatch.context() as patch:
                for key, value in environment.items():
                    patch.setenv(key, value)
                return run_command(*more, check=check)

        storage = f"hydra.sweeper.storage={server.url}"
        again = run(*words, storage, "sweep.n_trials=5", PGPASSWORD=PASSWORD)
        assert "trial 4  " in again.stdout and "5 finished" in again.stdout
        report = run("scripts/report.py", str(study), PGPASSWORD=PASSWORD)
        assert "5 finished" in report.stdout
        refused = run(*words, storage, "sweep.n_trials=6", check=False)
        assert refused.returncode == 1 and refused.stderr.startswith("error: The study's storage ")
        assert "no password supplied; its password is taken from the URL, from PGPASSWORD" in (
            refused.stderr
        )
        # From a file, where Hydra's own way would save it with each trial.
        own = tmp_path_factory.mktemp("own")
        (own / "experiment").mkdir(parents=True)
        (own / "experiment" / "mine.yaml").write_text(
            f"# @package _global_\nhydra:\n  sweeper:\n    storage: {url}\n"
        )
        words += ["--config-dir", str(own), "experiment=mine", "hydra.sweeper.study_name=filed"]
        filed = run(*words, "sweep.n_trials=1", check=False)
        files = written(homes)
        assert study / "trials" / "0" / ".hydra" / "hydra.yaml" in files
        said = [said, again.stdout, report.stdout, refused.stderr, filed.stdout, filed.stderr]
        for part in (PASSWORD, PASSWORD.split("/")[0], "W0rd"):
            assert not [path for path, text in files.items() if part.encode() in text]
            assert not [one for one in said if part in one]
        assert filed.returncode == 0, filed.stderr
        os.environ["PGPASSWORD"] = PASSWORD
        try:
            loaded = optuna.load_study(study.name, server.url)
        finally:
            del os.environ["PGPASSWORD"]
        assert len(loaded.trials) == 5


def test_a_server_that_does_not_come_back_is_a_sentence(homes, folder, monkeypatch):
    """After the two minutes, which a person may end by Ctrl-C, too."""
    with postgresql_server() as server:
        storage = f"hydra.sweeper.storage={server.url}"
        words = [*SEARCH, f"data.root={folder}", "model.units=[1,1,1]", "sweep.n_trials=4", storage]
        search = start_command(*words, "trainer.max_epochs=2")
        while progress(homes / "outputs" / "studies") < 1:
            assert search.poll() is None, search.stderr.read()
            time.sleep(0.02)
        server.stop()
        start = time.monotonic()
        _, said = search.communicate(timeout=240)
        assert 100 < time.monotonic() - start < 180
        assert search.returncode == 1 and "Traceback" not in said
        *waiting, last = said.strip().splitlines()
        assert any(line.startswith("waiting  for the study's storage ") for line in waiting)
        assert last.startswith(f"error: The study's storage {server.url} cannot be used: no answer")
        assert last.endswith("whether its server runs; the same command goes on with the study.")
        server.start()
        assert "4 of 4" in run_command(*words).stdout
