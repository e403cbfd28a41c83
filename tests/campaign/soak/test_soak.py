"""The soak in small: nothing is lost, and nothing is done twice, whatever falls over."""

import tempfile
from pathlib import Path

import pytest

from tests.campaign.soak.soak import Soak
from tests.postgresql_server import programs


@pytest.mark.slow
@pytest.mark.skipif(programs() is None, reason="PostgreSQL's server is not installed")
def test_workers_that_are_killed_on_a_database_that_restarts():
    pytest.importorskip("psycopg2", reason="needs the extra [postgresql]")
    # The server does not run as root, and nobody else may enter pytest's own folder.
    with tempfile.TemporaryDirectory(prefix="soak") as folder:
        check(Path(folder))


def check(folder):
    found = Soak(folder, workers=5, trials=20, seconds=0.3).run(restarts=2, kill=0.2)
    assert (found.trials, found.restarts, found.killed) == (20, 2, 1)
    assert (found.lost, found.twice, found.failed_workers) == (0, 0, 0)
    assert found.replaced <= found.killed
    logs = "".join(path.read_text() for path in folder.glob("worker_*.log"))
    assert "Traceback" not in logs and "20 of 20" in logs
    # The same command goes on where it was ended.
    more = Soak(folder, workers=2, trials=24, seconds=0.1).run(restarts=0, kill=0)
    assert (more.trials, more.lost, more.twice, more.failed_workers) == (24, 0, 0, 0)
