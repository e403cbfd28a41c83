"""`logger=`: the libraries' own files after real runs, loggers from outside, what is refused."""

import csv
import json
import os
import textwrap

import pytest

from tests.conftest import needs_extra, run_command
from tests.integration.test_resume import stop_when
from tests.lightning_modules.reporting.loggers.test_tensorboard import points, read

SMALL = [
    "model=shufflenet_g3", "model.units=[1,1,1]", "data=image_folder", "data.image_size=32",
    "data.batch_size=6", "trainer=cpu", "trainer.memory_format=contiguous",
    "trainer.max_epochs=2", "latency.backend=null", "report=false",
]  # fmt: skip
OWN = '''
    """A logger that knows nothing of this project."""

    import json
    from pathlib import Path

    from pytorch_lightning.loggers import Logger


    class Lines(Logger):
        name, version = "lines", 0

        def __init__(self, save_dir, file="lines.jsonl"):
            super().__init__()
            self._file = Path(save_dir) / file

        def log_hyperparams(self, params):
            self._write("hyperparams", params["seed"])

        def log_metrics(self, metrics, step=None):
            self._write(step, metrics)

        def finalize(self, status):
            self._write("end", status)

        def _write(self, *row):
            with self._file.open("a") as file:
                print(json.dumps(row), file=file)
'''


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def the_run(homes):
    (run,) = (homes / "outputs").glob("????-??-??/*")
    return run


@pytest.fixture
def outside(tmp_path, monkeypatch):
    """A module outside of all packages, whose installed package offers its class as `lines`."""
    folder = tmp_path / "site"
    info = folder / "outside_lines-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "outside_lines.py").write_text(textwrap.dedent(OWN))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: outside-lines\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[model_diet.loggers]\nlines = outside_lines:Lines\n")
    paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))


@pytest.mark.slow
@needs_extra("tensorboard")
def test_csv_and_tensorboard_have_all_stages_of_a_run(homes, folder):
    words = [*SMALL, f"data.root={folder}", "+compression=tucker", "logger=[csv,tensorboard]"]
    done = run_command("run.py", *words)
    run = the_run(homes)
    metrics = json.loads((run / "metrics.json").read_text())
    found = rows(run / "csv" / "version_0" / "metrics.csv")
    events = read(run / "tensorboard")
    table = rows(run / "metrics.csv")
    for stage in ("00_train", "01_tucker"):
        for name in ("train/loss", "val/f1"):
            tag = f"{stage}-{name}"
            logged = [(int(r["step"]), float(r[tag])) for r in found if r[tag]]
            assert logged == [(s, pytest.approx(value)) for s, value in points(events, tag)]
            expected = [float(row[name]) for row in table if row["step"] == stage]
            assert [value for _, value in logged] == pytest.approx(expected, abs=1e-5)
    steps = [step for tag in ("00_train-val/f1", "01_tucker-val/f1") for step, _ in
             points(events, tag)]  # fmt: skip
    assert steps == [5, 11, 17, 23]  # 36 images, 6 a batch
    assert float(found[-1]["val/f1"]) == metrics["val/f1"]
    assert points(events, "cost/macs") == [(23, pytest.approx(metrics["cost/macs"]))]
    assert "figures/val_confusion" in events.Tags()["images"]
    assert f"curves   tensorboard --logdir {homes / 'outputs'}" in done.stdout.splitlines()
    assert not (run / "wandb").exists()


@pytest.mark.slow
def test_loggers_from_outside_by_target_and_by_name(homes, folder, outside):
    words = [*SMALL, f"data.root={folder}", "debug=fast", "pictures=false", "logger=[csv,lines]"]
    mine = ["+logger.mine._target_=outside_lines.Lines", "+logger.mine.file=mine.jsonl"]
    run_command("run.py", *words, *mine)
    run = the_run(homes)
    metrics = json.loads((run / "metrics.json").read_text())
    assert (run / "csv" / "version_0" / "metrics.csv").is_file()
    for name in ("lines.jsonl", "mine.jsonl"):
        told = [json.loads(line) for line in (run / name).read_text().splitlines()]
        first, *curve, (_, final), last = told
        assert (first, last) == (["hyperparams", 0], ["end", "success"])
        assert [sorted(values) for _, values in curve] == [
            ["00_train-epoch", "00_train-val/accuracy", "00_train-val/f1", "00_train-val/loss"],
            ["00_train-epoch", "00_train-train/loss"],
        ]
        assert final["val/f1"] == metrics["val/f1"] and final["cost/macs"] == metrics["cost/macs"]


@pytest.mark.slow
@needs_extra("mlflow")
def test_a_run_that_crashes_has_failed_in_mlflow(homes, folder):
    from mlflow.tracking import MlflowClient

    words = [*SMALL, f"data.root={folder}", "logger=mlflow", "optimizer=sgd", "optimizer.lr=1e30"]
    done = run_command("run.py", *words, check=False)
    assert done.returncode == 1 and "The loss became" in done.stderr.splitlines()[-1]
    outputs = homes / "outputs"
    client = MlflowClient(f"sqlite:///{outputs / 'mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("model-diet").experiment_id])
    assert run.info.status == "FAILED"
    assert run.info.run_name == "shufflenet_g3_image_folder_seed0"
    assert run.data.params["optimizer/lr"] == "1e+30"
    assert run.info.artifact_uri.startswith((outputs / "mlflow_artifacts").as_uri())


@pytest.mark.slow
@needs_extra("mlflow")
def test_trials_are_runs_of_one_group(homes, folder):
    from mlflow.tracking import MlflowClient

    words = [*SMALL, f"data.root={folder}", "debug=fast", "logger=none,mlflow", "seed=0,1"]
    done = run_command("run.py", "-m", *words)
    outputs = homes / "outputs"
    assert f"MLflow   mlflow ui --backend-store-uri sqlite:///{outputs}/mlflow.db" in done.stdout
    client = MlflowClient(f"sqlite:///{outputs / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("model-diet").experiment_id])
    (study,) = (outputs / "studies").iterdir()
    assert {run.data.tags["group"] for run in runs} == {study.name}
    names = {run.info.run_name: run.info.status for run in runs}
    assert names == {
        "shufflenet_g3_image_folder_seed0_trial2": "FINISHED",
        "shufflenet_g3_image_folder_seed1_trial3": "FINISHED",
    }
    for run in runs:
        number = run.info.run_name[-1]
        metrics = json.loads((study / "trials" / number / "metrics.json").read_text())
        assert run.data.metrics["val/f1"] == metrics["val/f1"]
        files = {file.path for file in client.list_artifacts(run.info.run_id, "model")}
        assert "model/weights.safetensors" in files


@pytest.mark.slow
@needs_extra("tensorboard")
def test_steps_rise_on_after_a_resume(homes, folder):
    run = homes / "killed"
    words = [*SMALL, "+compression=tucker", "logger=[csv,tensorboard]", "trainer.max_epochs=3"]
    stop_when(run, folder, stage="01_tucker,0", epoch=0, words=words)
    run_command("run.py", f"resume={run}")
    curve = points(read(run / "tensorboard"), "01_tucker-val/f1")
    assert [step for step, _ in curve][-3:] == [23, 29, 35]  # after 18 of the training
    again = rows(run / "csv" / "version_1" / "metrics.csv")
    assert [row["step"] for row in again if row["01_tucker-val/f1"]][-2:] == ["29", "35"]
    assert again[-1]["step"] == "35" and again[-1]["val/f1"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["logger=[wandb,none]"], "error: logger=[wandb,none] has none beside others; leave none"),
        (["logger=[none,csv]"], "error: logger=[none,csv] has none beside others; leave none out"),
        (["+logger.csv.x=1"], "error: logger.csv has settings but was not chosen; choose it with"),
        (["+logger.mine._target_=pathlib.Path"], "logger.mine._target_=pathlib.Path is no logger"),
        (["logger=lines"], "There is no logger=lines; there are: csv, mlflow, none, tensorboard"),
    ],
)
def test_what_is_no_logger_leaves_nothing(homes, folder, words, said):
    done = run_command("run.py", *SMALL, f"data.root={folder}", *words, check=False)
    assert done.returncode == 1 and said in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((homes / "outputs").glob("*"))


def test_the_former_keys_of_the_logger(homes):
    done = run_command("run.py", "logger.mode=online", "logger.tags=[a]", "--cfg", "job")
    assert done.stderr.splitlines() == [
        "note     logger.mode is called logger.wandb.mode now",
        "note     logger.tags is called logger.wandb.tags now",
    ]
    assert "  wandb:\n" in done.stdout and "    mode: online\n" in done.stdout
