"""Help, configuration and refusals appear about as fast as in a bare Hydra application."""

import os
import resource
import signal
import statistics
import subprocess
import sys
import time

import pytest

from tests.conftest import COLD, ROOT, run_command, start_command, warm_python

BARE = """
import hydra

@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(cfg):
    pass

main()
"""


def seconds(*words, cwd, code=0):
    """Processor time of a program that ends with this code."""
    start = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, *words], cwd=cwd, check=False, capture_output=True)
    assert done.returncode == code, done.stderr[-500:]
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


@pytest.mark.slow
def test_a_refusal_takes_at_most_twice_the_time_of_showing_the_configuration():
    for words in (["data.batch_size=1"], ["+compression=prune", "compression.prune.ratio=3"]):
        refused, shown = [], []
        for _ in range(5):
            shown.append(seconds("run.py", "--cfg", "job", cwd=ROOT))
            refused.append(seconds("run.py", *words, cwd=ROOT, code=1))
        assert statistics.median(refused) <= 2 * statistics.median(shown), words


@pytest.mark.parametrize(
    ("words", "code", "absent"),
    [
        (["--help"], 0, ("torch", "numpy", "pydantic", "importlib.metadata")),
        (["--cfg", "job"], 0, ("torch", "numpy", "pydantic", "importlib.metadata")),
        (["data.batch_size=1"], 1, ("torch", "numpy", "pytorch_lightning", "optuna")),
        (["optimizer.lr=-1"], 1, ("torch", "numpy", "cv2", "albumentations")),
        (["+compression=prune", "compression.prune.ratio=3"], 1, ("torch", "numpy", "cv2")),
    ],
)
def test_what_is_not_imported(monkeypatch, words, code, absent):
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")  # Python lists its imports on stderr
    done = run_command("run.py", *words, check=False)
    assert done.returncode == code, done.stderr[-500:]
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    imported = {line.split("|")[-1].strip() for line in lines}
    assert "hydra" in imported and not imported & set(absent)


@pytest.mark.skipif(COLD or sys.platform != "linux", reason="every program starts cold")
def test_programs_of_tests_are_forked_with_the_libraries_imported():
    assert warm_python().can_start(["run.py"], os.environ)


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.3, 0.8, 1.5, 2.5, 4.0])
def test_ctrl_c_before_the_training_is_a_word(tmp_path, monkeypatch, delay):
    """Also while libraries are imported; what was made for the run is gone."""
    for name in ("OUTPUTS", "CACHE", "DATA"):
        monkeypatch.setenv(f"MODEL_DIET_{name}", str(tmp_path / name.lower()))
    words = [
        "data=synthetic", "data.image_size=32", "data.source.scenes=40", "trainer=cpu",
        "trainer.max_epochs=100", "logger=none",
    ]  # fmt: skip
    process = start_command("run.py", *words, stdout=subprocess.DEVNULL, cold=True)
    time.sleep(delay)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode in (130, 1) and "Traceback" not in said
    assert said.splitlines()[-1].startswith("interrupted")
    if process.returncode == 130:
        assert not list(tmp_path.glob("outputs/*/*/.hydra"))
