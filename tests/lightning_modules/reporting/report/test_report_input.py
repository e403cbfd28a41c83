"""Which run is shown in full, and what is said of words that are no finished runs."""

import json
import shutil

import pytest
from omegaconf import OmegaConf

from lightning_modules.errors import ConfigError
from lightning_modules.reporting.report.report_input import read_input
from lightning_modules.runs import run_directory


def test_the_best_configuration_of_a_study_is_shown(homes, finished):
    study = run_directory.outputs_root() / "studies" / "s"
    first = finished(f"{study.relative_to(homes)}/trials/0", **{"val/f1": 0.5})
    for number, (factor, f1) in enumerate([(1.0, 0.6), (2.0, 0.9)], start=1):
        trial = shutil.copytree(first, study / "trials" / str(number))
        cfg = OmegaConf.load(trial / ".hydra" / "config.yaml")
        cfg.model.width_multiple, cfg.seed = factor, number
        OmegaConf.save(cfg, trial / ".hydra" / "config.yaml")
        metrics = json.loads((trial / "metrics.json").read_text())
        (trial / "metrics.json").write_text(json.dumps({**metrics, "val/f1": f1}))
    inputs = read_input(["s"])
    assert inputs.run.folder == study / "trials" / "2"
    assert inputs.chosen == "trial 2, of the best configuration by val/f1 in 3 runs"
    assert (inputs.title, inputs.home) == ("s", study.resolve())


def test_the_first_run_with_metrics_is_shown(homes, finished, leave):
    broken, good = leave(homes / "broken"), finished("good")
    assert read_input([str(good), str(broken)]).chosen == ""
    inputs = read_input([str(broken), str(good)])
    assert inputs.chosen == "good, the first one that has metrics"
    assert inputs.run.folder == good and inputs.home == broken


def test_words_that_mean_nothing_are_said(homes, leave, finished):
    unfinished, empty = leave(homes / "unfinished"), homes / "empty"
    empty.mkdir()
    with pytest.raises(ConfigError, match="unfinished: it did not finish; continue it with resume"):
        read_input([str(unfinished)])
    with pytest.raises(ConfigError, match="empty: it is neither a run"):
        read_input([str(empty)])
    with pytest.raises(ConfigError, match="neither a run directory nor a study called nowhere"):
        read_input(["nowhere"])


@pytest.mark.parametrize("part", [{"steps": []}, {"steps": [{"name": "x"}]}, {"confusion": {}}])
def test_damaged_metrics_are_said(finished, part):
    with pytest.raises(ConfigError, match=r"metrics.json has no steps or no confusion matrix"):
        read_input([str(finished(**part))])


def test_a_damaged_csv_is_said(finished):
    run = finished()
    (run / "metrics.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"metrics.csv cannot be read"):
        read_input([str(run)])
