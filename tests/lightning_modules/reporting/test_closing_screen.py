"""The closing screen: which fold a run is, which weights it shipped, whether int8 pays."""

import pytest
from omegaconf import OmegaConf
from rich.console import Console

from lightning_modules.evaluation import metrics as evaluation
from lightning_modules.networks.description import INT8, WEIGHTS
from lightning_modules.reporting import closing_screen as closing
from lightning_modules.reporting.closing_screen import int8_worth

STEP = {"name": "00_train", "before": {}, "after": {"val/f1": 0.5}}


def test_a_fold_is_in_the_title(tmp_path, capsys):
    metrics = {"val/f1": 0.5, "steps": [STEP]}
    closing.show_closing_screen(tmp_path, metrics, [])
    assert "before and after, " not in capsys.readouterr().out
    closing.show_closing_screen(tmp_path, {**metrics, "fold": 1, "num_folds": 5}, [])
    title = " ".join(capsys.readouterr().out.split("┏")[0].split())
    assert title == "before and after, fold 1 of 0..4"


def test_a_fold_is_in_the_metrics():
    data = OmegaConf.create({"fold": 0, "num_folds": 5})
    assert evaluation._fold(data) == {"fold": 0, "num_folds": 5}
    assert evaluation._fold(OmegaConf.create({"fold": None, "num_folds": 5})) == {}
    assert evaluation._fold(OmegaConf.create({})) == {}


def test_which_weights_are_shipped():
    metrics = {"epoch": 4, "kept": "best", "steps": [STEP, {"name": "01_quantize"}]}
    assert closing.weights_of(metrics) == "of epoch 5 (trainer.keep=best)"
    untrained = closing.weights_of({**metrics, "epoch": -1})
    assert untrained == "as 01_quantize left them, which trains no epoch"


def step(name, ms, size, f1):
    return {"name": name, "cost/latency_ms": ms, "cost/file_bytes": size, "val/f1": f1}


@pytest.fixture
def int8_run(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / INT8).write_bytes(b"")
    return tmp_path


def int8_metrics(ms):
    stage = {"before": step("", 2.0, 1000, 0.75), "after": step("", ms, 300, 0.74)}
    return {"steps": [{"before": {}, "after": {}}, stage], "latency": {"backend": "onnxruntime"}}


def test_int8_that_is_faster_pays(int8_run):
    assert int8_worth(int8_run, int8_metrics(1.0), run="RUN") == (
        "int8 pays here: x 0.50 of the float network's time, x 0.30 of its file, macro-F1 -0.0100"
    )


@pytest.mark.parametrize(("ms", "ratio"), [(1.94, "0.97"), (2.6, "1.30")])
def test_int8_that_is_not_faster_recommends_the_float_network(int8_run, ms, ratio):
    assert int8_worth(int8_run, int8_metrics(ms), run="RUN") == (
        f"int8 does not pay here: x {ratio} of the float network's time, x 0.30 of its file, "
        "macro-F1 -0.0100; unless the file's size is what counts, ship the float network: "
        "python scripts/export.py RUN int8=false"
    )


def test_nothing_is_said_of_a_float_network_or_of_what_was_not_timed(int8_run):
    untimed = {key: value for key, value in int8_metrics(1.0).items() if key != "latency"}
    assert int8_worth(int8_run, untimed, run="RUN") is None
    (int8_run / "model" / INT8).rename(int8_run / "model" / WEIGHTS)
    assert int8_worth(int8_run, int8_metrics(1.0), run="RUN") is None


@pytest.mark.parametrize("width", [30, 50, 80, 110, 200])
def test_no_figure_of_the_screen_is_cut(width):
    after = {
        "val/f1": 0.9123, "val/accuracy": 0.9234,
        "cost/macs": 4_037_014_528, "cost/params": 25_557_032,
        "cost/file_bytes": 102_228_128, "cost/latency_ms": 1234.567,
    }  # fmt: skip
    stages = [{"name": n, "before": after, "after": after} for n in ("00_train", "01_prune")]
    stages[1]["agreement"] = 0.987
    console = Console(width=width)
    with console.capture() as shown:
        closing._table({**after, "steps": stages}).print(console)
    figures = ["0.9123", "0.9234", "4,037,014,528", "25,557,032", "102,228,128", "1234.567"]
    assert {figure: shown.get().count(figure) for figure in figures} == dict.fromkeys(figures, 2)
    assert "98.7%" in shown.get() and "x 1.00" in shown.get() and "…" not in shown.get()
