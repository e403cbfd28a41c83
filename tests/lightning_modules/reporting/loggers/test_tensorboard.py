"""A run's TensorBoard file, read back."""

from lightning_modules.reporting.loggers.tensorboard import TensorBoardRun
from tests.conftest import needs_extra

pytestmark = needs_extra("tensorboard")
NODE = {"_target_": "lightning_modules.reporting.loggers.tensorboard.TensorBoardRun"}


def read(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0})
    events.Reload()
    return events


def points(events, tag):
    return [(point.step, point.value) for point in events.Scalars(tag)]


def test_curves_hyperparameters_and_pictures(tmp_path, run_of):
    hints = run_of(NODE)
    folder = tmp_path / "run" / "tensorboard"
    assert hints == [("curves", f"tensorboard --logdir {tmp_path / 'run'}")]  # not below outputs
    events = read(folder)
    assert points(events, "00_train-val/f1") == [(1, 0.0), (3, 0.25)]
    assert points(events, "01_tucker-val/f1") == [(5, 0.0), (7, 0.25)]
    assert points(events, "val/f1") == [(7, 0.5)]
    assert points(events, "cost/macs") == [(7, 7.0)]
    assert points(events, "search/pruned") == [(7, 1.0)]
    assert "val/f1/b & c" not in events.Tags()["scalars"]
    assert events.Tags()["images"] == ["figures/val_worst"]
    (picture,) = events.Images("figures/val_worst")
    assert (picture.step, picture.height, picture.width) == (7, 8, 6)
    assert "_hparams_/experiment" in events.PluginTagToContent("hparams")
    assert "name: m" in (folder / "hparams.yaml").read_text()


def test_runs_are_looked_at_together(homes):
    run = homes / "outputs" / "2026-01-01" / "12-00-00_m_d"
    assert TensorBoardRun(str(run)).hint == ("curves", f"tensorboard --logdir {homes / 'outputs'}")


def test_a_resumed_run_goes_on_in_its_folder(tmp_path, run_of, results):
    TensorBoardRun(str(tmp_path / "run")).log_metrics({"earlier": 1.0}, 0)
    run_of(NODE)
    folder = tmp_path / "run" / "tensorboard"
    assert points(read(folder), "00_train-val/f1") == [(1, 0.0), (3, 0.25)]
    assert [path for path in folder.iterdir() if path.is_dir()] == []
