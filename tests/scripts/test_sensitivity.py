"""`scripts/sensitivity.py`: what its command line may say, and a scan as a user starts it."""

import json

import pytest
from PIL import Image

from lightning_modules.errors import ConfigError
from scripts.sensitivity import ratios_of, step_named
from tests.conftest import run_command


def test_steps_and_ratios():
    assert step_named("prune") == "prune"
    assert ratios_of("[0.5,0.25,0.5]") == [0.25, 0.5]
    for text, says in (("0.5,1", "1 is no ratio"), ("0", "0 is no ratio"), ("x", "'x' is no num")):
        with pytest.raises(ConfigError, match=says):
            ratios_of(text)
    with pytest.raises(ConfigError, match=r"no step=pruen; did you mean prune"):
        step_named("pruen")
    with pytest.raises(ConfigError, match="No step was named"):
        step_named(None)


def test_a_step_of_an_installed_package(own_parts):
    assert step_named("own_step") == "own_step"


@pytest.mark.slow
def test_scan_then_compress_by_it(homes, folder):
    small = ["model.units=[2,2,1]", "data.image_size=32", "data.batch_size=12", "logger=none"]
    quick = ["latency.backend=null", "pictures=false", "trainer.memory_format=contiguous"]
    data = ["data=image_folder", f"data.root={folder}"]
    run_command("run.py", *data, *small, *quick, "trainer.max_epochs=2")
    run = (homes / "outputs" / "last_finished").read_text().strip()

    words = ["last", "step=prune", "ratios=0.25,0.5,0.75", "compression.prune.round_to=1"]
    done = run_command("scripts/sensitivity.py", *words)
    assert "F1 lost, MACs saved at 0.25, nats" in done.stdout
    assert "stage1.unit2.compress_conv1" in done.stdout
    kept = homes / run / "sensitivity"
    scan = json.loads((kept / "prune.json").read_text())
    assert {p["ratio"] for p in scan["points"]} == {0.25, 0.5, 0.75}
    assert all(p["macs"] < scan["macs"] and 0 <= p["f1"] <= 1 for p in scan["points"])
    assert all(p["kl"] >= 0 for p in scan["points"])
    assert Image.open(kept / "prune.png").width > 500
    (file,) = (homes / "cache" / "sensitivity").glob("*/*/figures.json")
    stamp = file.stat().st_mtime_ns

    # Planning finds the scan where the script left it.
    step = ["+compression=prune", "compression.prune.ratios=sensitivity"]
    step += ["compression.prune.target.macs=0.8", "compression.prune.round_to=1"]
    run_command(
        "run.py",
        *step,
        "compression.prune.fine_tuning.epochs=1",
        "from_run=last",
        *quick,
        "logger=none",
    )
    assert file.stat().st_mtime_ns == stamp
    after = (homes / "outputs" / "last_finished").read_text().strip()
    metrics = json.loads((homes / after / "metrics.json").read_text())
    assert metrics["cost/macs"] / scan["macs"] == pytest.approx(0.8, rel=0.05)
    recipe = json.loads((homes / after / "model" / "recipe.json").read_text())
    assert "taylor, sensitivity" in recipe["entries"][0]["plan"]["why"]

    step = ["+compression=[tucker,quantize]", "compression.tucker.ranks=sensitivity"]
    step += ["compression.tucker.sensitivity=1", "compression.tucker.fine_tuning.epochs=0"]
    step += ["compression.quantize.images=32", "compression.quantize.max_f1_drop=null"]
    run_command("run.py", *step, f"from_run={run}", *quick, "logger=none")
    done = run_command("scripts/sensitivity.py", "last", "step=svd", check=False)
    assert done.returncode == 1 and "holds an int8 network" in done.stderr
