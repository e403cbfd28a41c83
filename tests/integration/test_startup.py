"""Help and configuration appear about as fast as in a bare Hydra application."""

import resource
import statistics
import subprocess
import sys

import pytest

from tests.conftest import ROOT

BARE = """
import hydra

@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(cfg):
    pass

main()
"""


def seconds(*words, cwd):
    """Processor time of a program that runs to its end."""
    start = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *words], cwd=cwd, check=True, capture_output=True)
    end = resource.getrusage(resource.RUSAGE_CHILDREN)
    return end.ru_utime - start.ru_utime + end.ru_stime - start.ru_stime


@pytest.mark.slow
def test_start_up_takes_at_most_1_6_times_a_bare_application(tmp_path):
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "config.yaml").write_text("key: 1\n")
    (tmp_path / "app.py").write_text(BARE)
    for words in (["--help"], ["--cfg", "job"]):
        ours, bare = [], []
        for _ in range(5):  # in turns, so that a busy machine slows both
            bare.append(seconds("app.py", *words, cwd=tmp_path))
            ours.append(seconds("run.py", *words, cwd=ROOT))
        assert statistics.median(ours) <= 1.6 * statistics.median(bare), words
