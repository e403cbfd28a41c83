"""What a study ends with: table, pictures, and an experiment that repeats the winner."""

import json
from pathlib import Path

import optuna
import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from optuna.distributions import CategoricalDistribution, UniformDistribution
from optuna.trial import TrialState

from lightning_modules.config.composing import fresh_config
from lightning_modules.config.found_experiment import _scalar, write_experiment
from lightning_modules.errors import ConfigError
from lightning_modules.reporting.report.page import render
from lightning_modules.reporting.report.report_input import read_input
from lightning_modules.search.results import show_results, study_report
from lightning_modules.search.storage import open_study
from lightning_modules.search.trials import METRICS, VIOLATION, best_trials
from tests.conftest import ROOT


@pytest.fixture
def study(multirun):
    """Opens the study of a command; `add` gives it trials."""

    def opened(*words):
        root = multirun(*words)
        Path(root.hydra.sweep.dir).mkdir(parents=True)
        return open_study(root)

    return opened


def add(study, values, *, params=None, **attributes):
    params = params or {"optimizer.lr": 0.01 * (1 + len(study.trials))}
    laws = {
        key: UniformDistribution(0, 1)
        if isinstance(value, float)
        else CategoricalDistribution([value])
        for key, value in params.items()
    }
    study.add_trial(
        optuna.trial.create_trial(
            state=TrialState.FAIL if values is None else TrialState.COMPLETE,
            values=values, params=params, distributions=laws, user_attrs=attributes,
        )
    )  # fmt: skip


@pytest.mark.slow
def test_an_architecture_is_written_as_an_experiment_that_composes(study, leave, homes, capsys):
    overrides = [
        "model=staged", "model.stages.s2.kind=DWConv", "model.stages.s4.repeat=0",
        "model.width_multiple=1.25", "augment=strong", "optimizer.lr=0.004", "data.image_size=48",
        "+compression=[svd]", "++compression.svd.ranks={body.*:4}", "~augment.transforms.clahe",
        "+teacher=original",
    ]  # fmt: skip
    found = study("sweep=architecture")
    folder = homes / "outputs" / "studies" / found.study_name
    for number in range(9):
        metrics = {"val/f1": 0.1 * number, "cost/macs": 1000, "score/macs": 1.0 + number / 100}
        add(found, [0.1 * number], params={"optimizer.lr": 0.1 * number}, **{METRICS: metrics})
    add(found, None)
    leave(folder / "trials" / "8", *overrides, f1=0.8)
    show_results(folder)
    shown = capsys.readouterr().out
    assert "9 finished, 1 failed" in shown and "winner   trial 8" in shown
    name = f"found_{found.study_name}"
    assert f"python run.py -m experiment={name} seed=0,1,2" in shown
    leave(folder / "trials" / "7", "model=staged", f1=0.7)
    show_results(folder, top=3)
    shown = capsys.readouterr().out
    assert "and      trial 6; its run is not in" in shown
    assert f"python run.py -m experiment={name},{name}_2 seed=0,1,2" in shown
    assert (homes / "found" / "experiment" / f"{name}_2.yaml").is_file()
    drawn = {path.stem for path in (folder / "figures").iterdir()}
    assert drawn == {"history", "importance", "parallel", "front"}
    text = (homes / "found" / "experiment" / f"{name}.yaml").read_text()
    assert text.splitlines()[1] == f"# python run.py experiment={name} '~augment.transforms.clahe'"
    assert "lr: 0.004  # found" in text

    saved = OmegaConf.load(folder / "trials" / "8" / ".hydra" / "config.yaml")
    with initialize_config_dir(config_dir=str(ROOT / "conf"), version_base="1.3"):
        again = compose(
            "config",
            overrides=[
                f"hydra.searchpath=[file://{homes}/found]", f"experiment={name}",
                "~augment.transforms.clahe",
            ],
        )  # fmt: skip
    for key in ("optimizer", "augment", "compression", "data", "teacher", "seed"):
        assert again[key] == saved[key], key
    assert list(again.model.blocks) == [
        "stem", "s1", "s2", "s3", "s5", "features", "pool", "hidden", "flat", "classifier"
    ]  # fmt: skip
    shapes = [_shapes(cfg.model) for cfg in (again, saved)]
    assert shapes[0] == shapes[1]


def _shapes(model):
    from lightning_modules.networks.building import meta_network

    network = meta_network(model, num_classes=3, image_size=48)
    return [tensor.shape for tensor in network.state_dict().values()]


def test_several_objectives_end_with_a_front(study, homes, capsys, leave):
    two = ["objective=[val/f1,cost/macs]", "sweep.direction=[maximize,minimize]"]
    found = study(*two)
    folder = homes / "outputs" / "studies" / found.study_name
    for f1, macs in [(0.9, 900.0), (0.8, 100.0), (0.7, 500.0), (0.95, 2000.0)]:
        add(found, [f1, macs], **{METRICS: {"val/f1": f1, "cost/macs": macs, "score/macs": 2 - f1}})
    add(found, [-3.0, 1e12], **{VIOLATION: 3.0, METRICS: {"cost/macs": 1e7}})
    assert [trial.number for trial in best_trials(found)] == [0, 1, 3]
    show_results(folder)
    shown = capsys.readouterr().out
    assert "Pareto front" in shown and "1 refused" in shown
    assert "winner   trial 3; its run is not in" in shown  # by score/macs
    assert (folder / "figures" / "history_cost_macs.png").is_file()

    inputs = read_input([found.study_name], read_study=study_report)
    assert (inputs.run, inputs.home, inputs.title) == (None, folder, found.study_name)
    (search,) = inputs.searches
    assert search.best.headings[:3] == ["trial", "val/f1", "cost/macs"]
    assert [row[:3] for row in search.best.rows] == [
        ["0", "0.9000", "900.0000"], ["1", "0.8000", "100.0000"], ["3", "0.9500", "2,000"]
    ]  # fmt: skip
    page = render(inputs)
    assert page.count("<img ") == len(list((folder / "figures").iterdir())) > 2
    assert "Trials: 4 finished, 1 refused." in page and "Load and rerun" not in page


def test_limits_that_nothing_meets_say_the_smallest_seen(study, homes):
    found = study("sweep.limits.macs=1000")
    for macs in (3000, 2500):
        add(found, [-1.0], **{VIOLATION: 1.0, METRICS: {"cost/macs": macs}})
    with pytest.raises(ConfigError, match="the smallest macs seen is 2,500, allowed 1,000"):
        show_results(homes / "outputs" / "studies" / found.study_name)


def test_what_a_study_leaves_can_be_read_by_other_tools(study, homes):
    found = study("sweep.n_trials=3")
    about = json.loads(
        (homes / "outputs" / "studies" / found.study_name / "study.json").read_text()
    )
    assert about["name"] == found.study_name and about["objectives"] == ["val/f1"]
    assert about["space"]["params"]["data.batch_size"] == "choice(32, 64, 128)"
    assert yaml.safe_load(json.dumps(about)) == about


@pytest.mark.parametrize("architecture", [False, True])
def test_winners_lie_in_their_study_and_nowhere_else(
    study, leave, homes, capsys, monkeypatch, architecture
):
    monkeypatch.delenv("MODEL_DIET_FOUND")
    found = study("sweep=architecture" if architecture else "seed=3")
    folder = homes / "outputs" / "studies" / found.study_name
    name, before = f"found_{found.study_name}", sorted((ROOT / "conf").rglob("*"))
    add(found, [0.5])
    model = ["model=staged", "model.width_multiple=1.25"] if architecture else []
    leave(folder / "trials" / "0", *model, "sampling='1e3'", "optimizer.lr=0.01", f1=0.5)
    show_results(folder)
    shown = capsys.readouterr().out
    assert f"winner   trial 0: {folder / f'{name}.yaml'}" in shown
    assert f"next     python run.py -m experiment={name} seed=0,1,2" in shown
    files = {path.name for path in folder.glob("*found_*.yaml")}
    assert files == {f"{name}.yaml", *([f"blocks_{name}.yaml"] if architecture else [])}
    assert sorted((ROOT / "conf").rglob("*")) == before
    again = fresh_config([f"experiment={folder}"])
    saved = OmegaConf.load(folder / "trials" / "0" / ".hydra" / "config.yaml")
    assert again.sampling == "1e3" and again.optimizer == saved.optimizer
    if architecture:
        assert _shapes(again.model) == _shapes(saved.model)
        # a second search, about what the first one found
        leave(homes / "run", f"model=blocks/{name}", "model.blocks.s1.k=5", f1=0.5)
        path = write_experiment("found_b", homes / "run", folder=homes, found=set(), about="")
        other = OmegaConf.load(homes / "run" / ".hydra" / "config.yaml")
        assert fresh_config([f"experiment={path}"]).model == other.model


def test_a_study_elsewhere_is_named_by_its_path(study, leave, homes, capsys, monkeypatch):
    found = study("seed=3")
    folder = homes / "outputs" / "studies" / found.study_name
    add(found, [0.5])
    leave(folder / "trials" / "0", f1=0.5)
    folder.rename(homes / "elsewhere")
    monkeypatch.chdir(homes)
    show_results(homes / "elsewhere")
    path = f"elsewhere/found_{found.study_name}.yaml"
    assert f"run.py -m experiment={path} seed=0,1,2" in capsys.readouterr().out
    assert (homes / path).read_text().splitlines()[1] == f"# python run.py experiment={path}"
    # two folders of one study no longer overwrite one file
    assert fresh_config([f"experiment={path}"]).seed == 0


@pytest.mark.parametrize(
    "value",
    ["1e3", "nan", "true", "null", "1", "0x1", "a: b", "${seed}", "???", "é", "", "-", "1_0"],
)
def test_texts_are_written_as_texts(value):
    for one in (value, [value, 1, 0.5, None, True], {}):
        read = OmegaConf.to_container(OmegaConf.create(f"a: {_scalar(one)}"))
        assert read == {"a": one}
