"""The commands a user types, as subprocesses, on small data."""

import csv
import json
import shutil

import pytest
import yaml

from tests.conftest import run_command

SMALL = [
    "data=image_folder",
    "data.image_size=32",
    "data.batch_size=8",
    "trainer.max_epochs=1",
    "logger=none",
    "latency.backend=null",
    "report=false",
]


def start(folder, *words):
    return run_command("run.py", *SMALL, f"data.root={folder}", *words)


def the_run(homes):
    (run,) = (homes / "outputs").glob("????-??-??/*")
    return run


def read(run):
    return json.loads((run / "metrics.json").read_text())


@pytest.mark.slow
def test_the_bare_command_runs_on_drawn_data(homes):
    done = run_command("run.py", "debug=fast", "data.source.scenes=40")
    run = the_run(homes)
    metrics = read(run)
    assert {"val/f1", "test/f1", "cost/macs", "cost/params", "cost/latency_ms"} <= set(metrics)
    assert [step["name"] for step in metrics["steps"]] == ["00_train"]
    assert metrics["cost/latency_ms"] > 0
    assert {"score/macs", "score/time"} <= set(metrics)
    for name in ("model/network.yaml", "card.md", "metrics.csv", "run.log", ".hydra/config.yaml"):
        assert (run / name).is_file(), name
    classes = yaml.safe_load((run / "model" / "network.yaml").read_text())["class_names"]
    assert metrics["confusion"]["classes"] == classes
    kinds = ("classes", "confusion", "reliability", "worst")
    for split in ("val", "test"):
        matrix = metrics["confusion"][split]
        for number, name in enumerate(classes):
            assert metrics[f"{split}/support/{name}"] == sum(matrix[number])
        assert 0 <= metrics[f"{split}/calibration_error"] <= 1
        for kind in kinds:
            assert (run / "figures" / f"{split}_{kind}.png").is_file()
    card = (run / "card.md").read_text()
    assert "figures/test_confusion.png" in card
    assert f"| {classes[0]} | {metrics[f'val/precision/{classes[0]}']:.3f} |" in card
    assert "before and after" in done.stdout
    assert f"report   {run}/report.html" in done.stdout.splitlines()
    page = (run / "report.html").read_text()
    assert page.endswith("</html>") and page.count("<img ") == 9  # two splits and the curves
    assert "scenes=40" in page and f"<td>{metrics['cost/params']:,}</td>" in page
    assert "wandb sync" in done.stdout
    assert list((run / "wandb").glob("offline-run-*"))
    assert (homes / "outputs" / "last_finished").read_text().strip() == str(run)


def test_train_then_compress_the_last_run_then_evaluate(homes, folder):
    start(folder, "model=squeezenet", "trainer.max_epochs=2")
    trained = the_run(homes)
    done = run_command(
        "run.py", "+compression=tucker", "+teacher=original", "from_run=last",
        "trainer.max_epochs=1", "logger=none", "latency.backend=eager", "callbacks.progress=null",
        f"hydra.run.dir={homes}/compressed",
    )  # fmt: skip
    run = homes / "compressed"
    metrics, before = read(run), read(trained)
    (step,) = metrics["steps"]
    assert step["name"] == "01_tucker"
    assert step["before"]["cost/macs"] == before["cost/macs"]
    assert step["before"]["val/f1"] == pytest.approx(before["val/f1"])
    assert metrics["cost/macs"] < 0.8 * before["cost/macs"]
    assert metrics["cost/latency_ms"] == step["after"]["cost/latency_ms"] > 0
    assert "factorised" in done.stdout
    assert "taught by original" in done.stdout
    assert "epoch 1/1" not in done.stdout
    assert metrics["val/agreement"] == metrics["val/agreement/original"]
    saved = yaml.safe_load((run / "model" / "network.yaml").read_text())
    assert saved["model"]["name"] == "squeezenet"
    assert saved["class_names"] == ["blue", "green", "red"]

    elsewhere = homes / "elsewhere"
    shutil.copytree(folder, elsewhere)
    shown = run_command("scripts/evaluate.py", str(run), str(trained), f"data.root={elsewhere}")
    assert f"{metrics['val/f1']:.4f}" in shown.stdout
    assert f"{before['val/f1']:.4f}" in shown.stdout
    assert f"{metrics['val/calibration_error']:.4f}" in shown.stdout
    row = next(line for line in shown.stdout.splitlines() if "green" in line)
    assert f"{metrics['val/f1/green']:.3f}" in row


@pytest.mark.slow
def test_a_chain_of_train_and_tucker_in_one_command(homes, folder):
    done = start(folder, "model=squeezenet", "+compression=tucker", "compression.tucker.rounds=2")
    metrics = read(the_run(homes))
    assert [step["name"] for step in metrics["steps"]] == ["00_train", "01_tucker"]
    first, second = metrics["steps"]
    assert first["after"]["cost/macs"] == second["before"]["cost/macs"]
    assert len(second["surgery"]) == 2
    assert second["surgery"][1]["val/f1"] >= 0
    with (the_run(homes) / "metrics.csv").open() as file:
        rows = [(row["step"], row["round"], row["epoch"]) for row in csv.DictReader(file)]
    assert rows == [("00_train", "0", "0"), ("01_tucker", "0", "0"), ("01_tucker", "1", "0")]
    assert done.stdout.count("01_tucker") >= 1


@pytest.mark.slow
def test_two_teachers_one_named_and_one_trained_on_the_way(homes, folder):
    start(folder, "model=squeezenet", f"hydra.run.dir={homes}/teacher")
    words = [
        "model=shufflenet_g3", "model.units=[1,1,1]", f"+teacher.a.run={homes}/teacher",
        "+teacher=[mobilenet_v3_large]",
        "teacher.mobilenet_v3_large.model.variant=mobilenet_v3_small",
    ]  # fmt: skip
    first = start(folder, *words)
    run = the_run(homes)
    assert "no finished run on this data yet; training it" in first.stdout
    assert "taught by mobilenet_v3_large, a" in first.stdout
    noted = json.loads((run / "teachers.json").read_text())
    assert noted["a"] == str(homes / "teacher")
    assert (homes / "outputs" / "last_finished").read_text().strip() == str(run)
    trained_on_the_way = noted["mobilenet_v3_large"]
    run_command(
        "run.py", f"from_run={trained_on_the_way}", "+compression=tucker", "logger=none",
        "latency.backend=null", "trainer.max_epochs=1", f"hydra.run.dir={homes}/smaller",
    )  # fmt: skip
    second = start(folder, *words, f"hydra.run.dir={homes}/again")
    assert "training it" not in second.stdout
    assert json.loads((homes / "again" / "teachers.json").read_text()) == noted


@pytest.mark.slow
def test_the_best_epoch_can_be_kept(homes, folder):
    start(folder, "model.units=[1,1,1]", "trainer.max_epochs=4", "trainer.keep=best")
    run = the_run(homes)
    metrics = read(run)
    with (run / "metrics.csv").open() as file:
        scores = [float(row["val/f1"]) for row in csv.DictReader(file)]
    assert metrics["kept"] == "best"
    assert scores[metrics["epoch"]] == pytest.approx(max(scores), abs=1e-6)
    assert metrics["val/f1"] == pytest.approx(max(scores), abs=1e-5)
