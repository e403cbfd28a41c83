"""Seeds and other keys swept as a user types it; one trial of each seed cannot run."""

import csv
import statistics

import pytest
from omegaconf import OmegaConf

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


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_a_folder_used_again_reports_no_old_figures_under_new_names(homes, folder, launcher):
    if launcher == "joblib":
        pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="needs joblib's")
    study = homes / "study"
    words = ["run.py", "-m", *SMALL, f"data.root={folder}", "model.units=[1,1,1]"]
    words += [f"hydra.sweep.dir={study}", f"hydra/launcher={launcher}"]
    texts = "card.license=choice('ok','nan')"
    run_command(*words, "seed=0,1", texts)
    licenses = [OmegaConf.load(config).card.license for config in configs(study)]
    assert licenses == ["ok", "nan", "ok", "nan"]
    before = {path: path.read_bytes() for path in study.rglob("*") if path.is_file()}
    for other in ("seed=5,6", "seed=1,0", "seed=1"):
        done = run_command(*words, other, texts, check=False)
        assert done.returncode == 1 and "Traceback" not in done.stderr
        assert f"with seed=0, and this command gives it {other[:6]};" in done.stderr
    assert {path: path.read_bytes() for path in study.rglob("*") if path.is_file()} == before
    trained = {path: path.stat().st_mtime_ns for path in study.glob("trials/*/model/*")}
    run_command(*words, "seed=0,1,2", texts)
    assert len(configs(study)) == 6
    assert (
        trained.items() <= {p: p.stat().st_mtime_ns for p in study.glob("trials/*/model/*")}.items()
    )


def configs(study):
    return sorted(study.glob("trials/*/.hydra/config.yaml"))
