"""A SLURM cluster of this computer's own, for the tests that need one."""

import tempfile
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster, missing


@pytest.fixture(scope="session")
def loopback_cluster():
    """One node with four processors, started once for all tests."""
    if why := missing():
        pytest.skip(why)
    with tempfile.TemporaryDirectory(prefix="slurm") as folder:
        cluster = Cluster(Path(folder))
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()


@pytest.fixture
def cluster(loopback_cluster, monkeypatch):
    """The cluster, found by SLURM's commands of this test, without jobs of earlier ones."""
    monkeypatch.setenv("SLURM_CONF", str(loopback_cluster.configuration))
    yield loopback_cluster
    loopback_cluster("scancel", "--full", "--state=RUNNING")
    loopback_cluster("scancel", "--state=PENDING")
