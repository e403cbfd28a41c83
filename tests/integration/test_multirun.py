"""Seeds and other keys swept as a user types it; one trial of each seed cannot run."""

import csv
import statistics

import pytest

from tests.conftest import run_command
from tests.integration.test_commands import SMALL, read


@pytest.mark.slow
def test_seeds_and_a_key_end_with_mean_and_spread(homes, folder):
    done = run_command(
        "run.py", "-m", *SMALL, f"data.root={folder}", "model.units=[1,1,1]",
        "optimizer.lr=1e-3,-1", "seed=0,1", "trainer.max_epochs=2", check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: 2 of 4 trials failed")
    assert "Traceback" not in done.stdout + done.stderr
    (study,) = (homes / "outputs" / "studies").iterdir()
    assert study.name.endswith("_shufflenet_g3_image_folder_lr_seed")
    found = [read(study / "trials" / number)["val/f1"] for number in ("0", "1")]
    with (study / "summary.csv").open() as file:
        good, bad = csv.DictReader(file)
    assert (good["optimizer.lr"], good["runs"], good["seeds"], good["failed"]) == (
        "0.001", "2", "2", "0"
    )  # fmt: skip
    assert float(good["val/f1"]) == statistics.mean(found)
    assert float(good["val/f1 sd"]) == statistics.stdev(found)
    assert (bad["optimizer.lr"], bad["runs"], bad["failed"], bad["val/f1"]) == ("-1", "0", "2", "")
    assert "trials/3: optimizer.lr=-1 is not allowed" in bad["failures"]
    mean = f"{statistics.mean(found):.4f}"
    assert mean in (study / "summary.md").read_text()
    assert "failed   trials/2 (seed=0): optimizer.lr=-1 is not allowed" in done.stdout

    one, other = (str(study / "trials" / number) for number in ("0", "1"))
    table = homes / "table.csv"
    shown = run_command("scripts/report.py", one, "--csv", str(table), other)
    assert mean in shown.stdout and mean in done.stdout
    assert table.read_text().splitlines()[1].startswith("2,2,0,0,")
