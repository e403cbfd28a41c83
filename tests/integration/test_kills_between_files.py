"""Killed between any two of the files that a run writes, it resumes to the same files.

Moments that a clock would hit once in a thousand kills: between the two checkpoints of an epoch,
between a stage's network and its record, between `metrics.json` and the report.
"""

import csv
import json
import random
import signal

import pytest

from tests.conftest import draw_folder, run_command

WORDS = [
    "data=image_folder", "data.image_size=32", "data.batch_size=6", "model.units=[1,1,1]",
    "trainer.max_epochs=2", "trainer.memory_format=contiguous", "latency.backend=null",
]  # fmt: skip
CHAINS = {
    "prune, prepared, in two rounds, then train in int8": [
        "logger=none", "+compression=[prune,quantize_aware]", "compression.prune.rounds=2",
        "compression.prune.fine_tuning.epochs=1", "compression.prune.fine_tuning.prepare_epochs=1",
        "compression.prune.penalty=bn_scale", "compression.quantize_aware.fine_tuning.epochs=1",
        "compression.quantize_aware.max_f1_drop=null",
        "+teacher=original", "callbacks=ema",
    ],
    "a teacher on the way, its logits stored": [
        "logger=none", "+teacher=shufflenet_g3", "teacher.shufflenet_g3.model.units=[2,1,1]",
        "distillation.cache=2", "data.num_workers=2", "trainer.keep=best",
    ],
}  # fmt: skip


def killed(run, name, number, words):
    """Whether it was, before it ended."""
    words = ["tests/killed_at.py", name, str(number), "run.py", *words, f"hydra.run.dir={run}"]
    code = run_command(*words, check=False).returncode
    assert code in (0, -signal.SIGKILL)
    return code != 0


def files(run):
    found = (str(path.relative_to(run)) for path in run.rglob("*") if path.is_file())
    return {name for name in found if not name.startswith((".hydra", "csv", "teachers", ".lock"))}


def rows(path):
    with path.open() as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def assert_equal(run, whole):
    for path in (whole / "model").iterdir():  # an int8 network is one of ONNX
        assert (run / "model" / path.name).read_bytes() == path.read_bytes(), path.name
    assert rows(run / "metrics.csv") == rows(whole / "metrics.csv")
    # A kill right after the first epoch leaves no checkpoint before the last one.
    spare = {name for name in files(whole) if "previous.ckpt" in name}
    assert files(run) - spare == files(whole) - spare
    both = [json.loads((at / "metrics.json").read_text()) for at in (run, whole)]
    assert both[0] == both[1] and "missing" not in both[0]


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 3, 8])
def test_a_run_killed_at_its_end_lacks_nothing_after_a_resume(homes, number):
    photos = draw_folder(homes / "photos")
    words = [*WORDS, f"data.root={photos}", "logger=csv", "trainer.max_epochs=1"]
    run = homes / "run"
    assert killed(run, "metrics.json", number, words)
    before = json.loads((run / "metrics.json").read_text())
    assert {"card", "loggers", "report"} <= before["missing"].keys()
    assert not (run / "card.md").exists()
    run_command("run.py", f"resume={run}")
    metrics = json.loads((run / "metrics.json").read_text())
    assert "missing" not in metrics and before["val/f1"] == metrics["val/f1"]
    for name in ("card.md", "report.html", "figures/val_confusion.png"):
        assert (run / name).is_file()
    assert (homes / "outputs" / "last_finished").read_text().strip() == str(run.resolve())
    assert not [name for name in files(run) if ".part" in name]
    (results,) = rows(run / "csv" / "version_1" / "metrics.csv")
    assert float(results["val/f1"]) == pytest.approx(metrics["val/f1"])
    assert results["step"] == "5"  # the last of the six updates, as an unkilled run says
    again = run_command("run.py", f"resume={run}", check=False)
    assert again.returncode == 1 and "is finished" in again.stderr


@pytest.mark.slow
@pytest.mark.parametrize("chain", CHAINS)
def test_kills_between_files(homes, chain):
    photos = draw_folder(homes / "photos")
    words = [*WORDS, f"data.root={photos}", *CHAINS[chain]]
    run_command("run.py", *words, f"hydra.run.dir={homes / 'whole'}")
    draws = random.Random(0)
    for number in sorted(draws.sample(range(40), 4)):
        run = homes / f"killed{number}"
        if not killed(run, "metrics.csv", number, words):
            break
        run_command("run.py", f"resume={run}")
        assert_equal(run, homes / "whole")
