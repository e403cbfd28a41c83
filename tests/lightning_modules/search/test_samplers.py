"""Samplers and pruners by name, or of one's own by `_target_`."""

import optuna
import pytest

from compression import registry
from lightning_modules.errors import ConfigError
from lightning_modules.search.check import check_search
from lightning_modules.search.pruners import make_pruner
from lightning_modules.search.samplers import sampler_for
from lightning_modules.search.schema import SAMPLERS
from tests.lightning_modules.search.test_worker import distance

HERE = "tests.lightning_modules.search.test_samplers"


class Upper(optuna.samplers.RandomSampler):
    """Draws the same part of each range; has no seed."""

    def __init__(self, part=1.0):
        super().__init__()
        self.part = part

    def sample_independent(self, study, trial, param_name, param_distribution):
        law = param_distribution
        if isinstance(law, optuna.distributions.CategoricalDistribution):
            return law.choices[-1]
        return law.low + self.part * (law.high - law.low)


class Third(optuna.pruners.NopPruner):
    def prune(self, study, trial):
        return trial.last_step == 3


def test_a_sampler_of_ones_own_draws(search):
    own = f"sweep.sampler={{_target_: {HERE}.Upper, part: 0.75}}"
    study, _ = search(distance, own, "sweep.n_trials=2", "sweep.redraws=0")
    assert study.trials[0].params["optimizer.lr"] == 0.002  # the default
    assert study.trials[1].params == {"optimizer.lr": 0.75, "data.batch_size": 16}


def draws(sampler, **settings):
    study = optuna.create_study(sampler=sampler_for(sampler, seed=1, objectives=1, **settings))
    return [study.ask().suggest_float("x", 0, 1) for _ in range(3)]


@pytest.mark.parametrize("name", [*SAMPLERS.paths, "optuna.samplers.RandomSampler"])
def test_draws_follow_from_the_seed_and_the_number(name):
    sampler = {"_target_": name} if "." in name else name
    assert draws(sampler, number=3) == draws(sampler, number=3) != draws(sampler, number=4)


def test_auto_is_by_the_number_of_objectives_and_a_seed_of_ones_own_counts():
    kinds = [type(sampler_for("auto", number=3, seed=1, objectives=count)) for count in (1, 2)]
    assert kinds == [optuna.samplers.TPESampler, optuna.samplers.NSGAIISampler]
    node = {"_target_": "optuna.samplers.RandomSampler"}
    assert draws({**node, "seed": 1}, number=3) == draws(node, number=3)
    assert draws({**node, "seed": 2}, number=3) != draws(node, number=3)


def test_a_pruner_of_ones_own_ends_trials(multirun):
    root = multirun(f"sweep.pruner={{_target_: {HERE}.Third}}")
    check_search(root)
    trial = optuna.create_study(pruner=make_pruner(root, epochs=9)).ask()
    ends = []
    for epoch in (1, 2, 3):
        trial.report(0.5, epoch)
        ends.append(trial.should_prune())
    assert ends == [False, False, True]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["sweep.sampler={_target_: nowhere.Draws}"], "nowhere.Draws cannot be built: No module"),
        ([f"sweep.sampler={{_target_: {HERE}.Third}}"], "Third is no sampler: it has no sample_i"),
        (["sweep.sampler={part: 1}"], r"sweep.sampler=\{'part': 1\} has no _target_"),
        ([f"sweep.pruner={{_target_: {HERE}.Upper}}"], "Upper is no pruner: it has no prune"),
        (
            ["sweep.sampler=cmaes", "objective=[val/f1,cost/macs]",
             "sweep.direction=[maximize,minimize]"],
            "sweep.sampler=cmaes improves one objective; for several",
        ),
    ],
)  # fmt: skip
def test_what_is_none_is_refused(multirun, words, sentence):
    with pytest.raises(ConfigError, match=sentence):
        check_search(multirun(*words))


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed package that offers samplers, of which one cannot be imported."""
    (tmp_path / "offered_samplers.py").write_text(
        "from optuna.samplers import RandomSampler\n\n\nclass Own(RandomSampler):\n    pass\n"
    )
    info = tmp_path / "offered_samplers-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: offered-samplers\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[model_diet.samplers]\nown = offered_samplers:Own\nbroken = no_such_samplers:Own\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    registry._entry_points.cache_clear()
    yield
    registry._entry_points.cache_clear()


def test_an_installed_package_offers_a_sampler(package):
    found = sampler_for("own", number=0, seed=0, objectives=1)
    assert type(found).__module__ == "offered_samplers"
    with pytest.raises(
        ConfigError, match="sweep.sampler=broken: the sampler that offered-samplers offers cannot"
    ):
        sampler_for("broken", number=0, seed=0, objectives=1)
