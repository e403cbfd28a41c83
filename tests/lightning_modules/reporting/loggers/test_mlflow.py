"""A run in MLflow's SQLite file, asked for by its own client."""

import os

import pytest

from tests.conftest import needs_extra

pytestmark = needs_extra("mlflow")


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """A file for all tests here: MLflow takes seconds to make one."""
    return tmp_path_factory.mktemp("mlflow") / "mlflow.db"


def node(database, **settings):
    target = "lightning_modules.reporting.loggers.mlflow.MlflowRun"
    return {"_target_": target, "tracking_uri": f"sqlite:///{database}", **settings}


def only_run(database, experiment):
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{database}")
    found = client.get_experiment_by_name(experiment)
    (run,) = client.search_runs([found.experiment_id])
    return client, run


def points(client, run, metric):
    history = client.get_metric_history(run.info.run_id, metric)
    return [(point.step, point.value) for point in history]


def test_parameters_curves_pictures_and_the_network(database, run_of):
    hints = run_of(node(database, experiment_name="good", tags={"team": "robots"}))
    assert hints == [("MLflow", f"mlflow ui --backend-store-uri sqlite:///{database}")]
    client, run = only_run(database, "good")
    assert run.info.status == "FINISHED"
    assert run.info.run_name == run.data.tags["mlflow.runName"] == "a-title"
    assert (run.data.tags["group"], run.data.tags["team"]) == ("a-group", "robots")
    assert (run.data.params["seed"], run.data.params["model/name"]) == ("3", "m")
    assert run.data.params["search/params/_model.x y_"] == "1"
    assert points(client, run, "00_train-val/f1") == [(1, 0.0), (3, 0.25)]
    assert points(client, run, "01_tucker-val/f1") == [(5, 0.0), (7, 0.25)]
    assert points(client, run, "val/f1") == [(7, 0.5)]
    assert points(client, run, "cost/macs") == [(7, 7.0)]
    files = [entry.path for part in ("figures", "model") for entry in client.list_artifacts(
        run.info.run_id, part
    )]  # fmt: skip
    assert files == ["figures/val_worst.png", "model/weights.safetensors"]
    assert run.info.artifact_uri.startswith((database.parent / "mlflow_artifacts").as_uri())
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_a_run_that_fails_is_marked(database, run_of):
    with pytest.raises(ZeroDivisionError):
        run_of(node(database, experiment_name="bad"), fails=True)
    client, run = only_run(database, "bad")
    assert run.info.status == "FAILED"
    assert points(client, run, "01_tucker-val/f1") == [(5, 0.0), (7, 0.25)]


def test_a_server_is_named_by_its_address(database):
    from lightning_modules.reporting.loggers.mlflow import MlflowRun

    run = MlflowRun(run_name="a", group="b", tracking_uri="http://localhost:1")
    assert run.hint == ("MLflow", "http://localhost:1")


def test_an_experiment_made_by_another_process_meanwhile(database, run_of, monkeypatch):
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    create = MlflowClient.create_experiment

    def too_late(self, *arguments, **settings):
        create(self, *arguments, **settings)
        raise MlflowException("it exists", error_code=3001)

    monkeypatch.setattr(MlflowClient, "create_experiment", too_late)
    run_of(node(database, experiment_name="raced"))
    assert only_run(database, "raced")[1].info.status == "FINISHED"
