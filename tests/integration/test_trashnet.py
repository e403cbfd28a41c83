"""What this project promises of real photographs: TrashNet at 80 x 80 pixels."""

import json
import statistics

import pytest

from tests.conftest import SHARED, needs_shared, run_command

DATA = ["data=image_folder", f"data.root={SHARED}/data/trashnet150", "data.image_size=80"]
WEIGHTS = SHARED / "weights" / "shufflenet_g3_wd4.pth"
NETWORK = ["model=shufflenet_g3", f"model.weights={WEIGHTS}"]
BRIEF = ["trainer.max_epochs=2", "logger=none", "latency.backend=null"]

pytestmark = [
    pytest.mark.slow,
    needs_shared("data", "trashnet150"),
    needs_shared("weights", "shufflenet_g3_wd4.pth"),
]


def run(folder, *words):
    run_command("run.py", *DATA, *words, f"hydra.run.dir={folder}")
    return json.loads((folder / "metrics.json").read_text())


def test_default_settings_reach_a_macro_f1_of_0_82(homes):
    found = [
        run(homes / f"seed{seed}", *NETWORK, f"seed={seed}", "trainer.max_epochs=30")["val/f1"]
        for seed in (0, 1, 2)
    ]
    assert statistics.mean(found) >= 0.82, found


def test_teachers_tucker_and_a_sweep_run_on_real_images(homes):
    for seed in (0, 1):
        run(homes / f"teacher{seed}", *NETWORK, *BRIEF, f"seed={seed}")
    taught = run(
        homes / "taught", *NETWORK, *BRIEF, f"+teacher.a.run={homes}/teacher0",
        f"+teacher.b.run={homes}/teacher1", "+compression=tucker",
    )  # fmt: skip
    log = (homes / "taught" / "run.log").read_text()
    assert "factorised 1 layer: body.features.init_block.conv" in log
    assert "taught by a, b" in log
    assert taught["steps"][1]["after"]["cost/macs"] < taught["steps"][1]["before"]["cost/macs"]
    sweep = ["-m", "hydra/sweeper=optuna", "sweep.n_trials=6", *NETWORK, *DATA, *BRIEF]
    run_command("run.py", *sweep)
    assert len(list((homes / "outputs").glob("studies/*/trials/*/metrics.json"))) == 6


def test_tucker_takes_at_least_30_percent_of_a_resnet18(homes):
    run(homes / "run", "model=resnet", "model.variant=resnet18", *BRIEF)
    words = ["+compression=tucker", "+teacher=original", f"from_run={homes}/run", *BRIEF]
    run_command("run.py", *words, f"hydra.run.dir={homes}/smaller")
    (step,) = json.loads((homes / "smaller" / "metrics.json").read_text())["steps"]
    assert step["after"]["cost/macs"] <= 0.7 * step["before"]["cost/macs"]
