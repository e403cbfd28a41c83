"""Limits: counted before the training, learnt from by a value that grows with the excess."""

import json
from types import SimpleNamespace

import optuna
import pytest
from omegaconf import OmegaConf, open_dict

from compression.cost.macs import count_macs
from lightning_modules.errors import ConfigError
from lightning_modules.networks import build_network
from lightning_modules.search.objectives import checked_values, penalties
from lightning_modules.search.pruners import SteadyHyperband, make_pruner
from lightning_modules.search.trial_job import objective_values, run_trial, violation

COSTS = {"cost/macs": 3000, "cost/params": 50}


def test_the_excess_is_added_up_as_shares():
    assert violation(COSTS, {"macs": 2000, "params": 100}) == 0.5
    assert violation(COSTS, {"macs": 2000, "params": 40}) == 0.75
    assert violation(COSTS, {"macs": 3000, "latency_ms": 1}) == 0.0  # not known yet


def test_penalties_are_worse_than_any_figure_and_grow():
    for directions in (["maximize"], ["minimize"], ["maximize", "minimize"]):
        near, far = penalties(directions, 0.1), penalties(directions, 2.0)
        for direction, a, b in zip(directions, near, far, strict=True):
            worst = 0.0 if direction == "maximize" else 1e11
            assert (b < a < worst) if direction == "maximize" else (b > a > worst)


@pytest.fixture
def trial(multirun, tmp_path, folder):
    """A trial's configuration and `hydra` node."""

    def made(*words):
        root = multirun("data=image_folder", f"data.root={folder}", "model.units=[1,1,1]", *words)
        with open_dict(root):
            root.hydra.runtime.output_dir = str(tmp_path)
        cfg = OmegaConf.masked_copy(root, [key for key in root if key != "hydra"])
        return cfg, root.hydra

    return made


def counted_run(**metrics):
    calls = []

    def work():
        calls.append(1)
        return {f"val/{name}" if name == "f1" else f"cost/{name}": v for name, v in metrics.items()}

    return SimpleNamespace(work=work, calls=calls)


def test_a_network_over_its_limit_is_not_trained(trial, tmp_path):
    cfg, hydra = trial("sweep.limits.macs=1000")
    macs = count_macs(build_network(cfg.model, num_classes=3, image_size=64), 64)
    run = counted_run(f1=0.5, macs=macs)
    value = run_trial(cfg, hydra, run.work)
    assert run.calls == [] and value == pytest.approx(1 - macs / 1000)
    left = json.loads((tmp_path / "over_limits.json").read_text())
    assert left["costs"]["cost/macs"] == macs and left["violation"] == pytest.approx(-value)
    cfg.sweep.limits.macs = macs
    assert run_trial(cfg, hydra, run.work) == 0.5
    assert run.calls == [1]


def test_a_compressed_network_is_judged_when_it_is_there(trial, tmp_path):
    cfg, hydra = trial(
        "sweep.limits.macs=1000", "+compression=svd", "objective=[val/f1,cost/macs]",
        "sweep.direction=[maximize,minimize]",
    )  # fmt: skip
    run = counted_run(f1=0.5, macs=1500)
    assert run_trial(cfg, hydra, run.work) == [-0.5, 1.5e12]
    assert run.calls == [1] and (tmp_path / "over_limits.json").is_file()
    run = counted_run(f1=0.5, macs=900)
    assert run_trial(cfg, hydra, run.work) == [0.5, 900]


def test_objectives_that_a_run_did_not_measure():
    assert objective_values("val/f1", {"val/f1": 0.5}) == 0.5
    with pytest.raises(ConfigError, match="objective test/f1 was not measured"):
        objective_values(OmegaConf.create(["val/f1", "test/f1"]), {"val/f1": 0.5})
    with pytest.raises(ConfigError, match="the objective val/loss is inf"):
        checked_values(float("inf"), ["val/loss"])


def test_brackets_of_hyperband_are_the_same_in_every_process():
    pruner = SteadyHyperband(min_resource=1, max_resource=27, reduction_factor=3)
    found = [pruner.bracket_of("a", number) for number in range(40)]
    assert found[:14] == [3, 0, 0, 0, 0, 1, 0, 0, 0, 3, 3, 0, 2, 1]  # by hand, from CRC-32
    assert set(found) == {0, 1, 2, 3}


@pytest.mark.parametrize("kind", ["median", "successive_halving", "hyperband"])
def test_pruners_end_the_worst(multirun, kind):
    root = multirun(f"sweep.pruner={kind}", "sweep.pruner_epochs=1")
    pruner = make_pruner(root, epochs=9)
    study = optuna.create_study(direction="maximize", pruner=pruner, study_name="b")
    ended = []
    for number in range(12):
        trial = study.ask()
        for epoch in range(1, 10):
            trial.report(1 - number / 20, epoch)  # each is worse than the one before
            if trial.should_prune():
                ended.append(number)
                break
        study.tell(trial, 1 - number / 20)
    assert 0 not in ended and len(ended) >= 5 and ended[-1] == 11
