"""Help and configuration appear about as fast as in a bare Hydra application."""

import statistics
import subprocess
import sys
import time

from tests.conftest import ROOT

BARE = """
import hydra

@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(cfg):
    pass

main()
"""


def seconds(*words, cwd):
    start = time.perf_counter()
    subprocess.run([sys.executable, *words], cwd=cwd, check=True, capture_output=True)
    return time.perf_counter() - start


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
