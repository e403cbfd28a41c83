"""The closing screen and `metrics.json` say which fold of a cross-validation a run is."""

from omegaconf import OmegaConf

from lightning_modules.evaluation import metrics as figures
from lightning_modules.reporting import closing_screen as closing

STEP = {"name": "00_train", "before": {}, "after": {"val/f1": 0.5}}


def test_a_fold_is_in_the_title(tmp_path, capsys):
    metrics = {"val/f1": 0.5, "steps": [STEP]}
    closing.show(tmp_path, metrics, [])
    assert "before and after, " not in capsys.readouterr().out
    closing.show(tmp_path, {**metrics, "fold": 1, "num_folds": 5}, [])
    title = " ".join(capsys.readouterr().out.split("┏")[0].split())
    assert title == "before and after, fold 1 of 0..4"


def test_a_fold_is_in_the_figures():
    data = OmegaConf.create({"fold": 0, "num_folds": 5})
    assert figures._fold(data) == {"fold": 0, "num_folds": 5}
    assert figures._fold(OmegaConf.create({"fold": None, "num_folds": 5})) == {}
    assert figures._fold(OmegaConf.create({})) == {}


def test_which_weights_are_shipped():
    metrics = {"epoch": 4, "kept": "best", "steps": [STEP, {"name": "01_quantize"}]}
    assert closing.weights_of(metrics) == "of epoch 5 (trainer.keep=best)"
    untrained = closing.weights_of({**metrics, "epoch": -1})
    assert untrained == "as 01_quantize left them, which trains no epoch"
