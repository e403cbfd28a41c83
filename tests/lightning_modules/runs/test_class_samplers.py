"""Samplers of classes are found by name, in installed packages, and by `_target_`."""

from typing import Any

import pytest

from compression import registry
from datamodules.loading import EpochSampler, ImageData, class_weights
from lightning_modules.config.check import check
from lightning_modules.errors import ConfigError
from lightning_modules.registry import build
from lightning_modules.runs.class_samplers import CLASS_WEIGHTS, SAMPLING, class_sampler
from lightning_modules.runs.data import make_data
from lightning_modules.training.losses.building import build_loss

HERE = __name__


def cube_root(counts):
    return [n ** (-1 / 3) for n in counts]


class Power:
    """A sampler with a setting."""

    def __init__(self, exponent: float = 1.0) -> None:
        self.exponent = exponent

    def __call__(self, counts):
        return [n**-self.exponent for n in counts]


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package of somebody's, whose code is imported only where its sampler is named."""
    folder = tmp_path / "site"
    info = folder / "their_samplers-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-samplers\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[model_diet.class_samplers]\ninverse = their_samplers:Inverse\nsqrt = their_samplers:x\n"
    )
    (folder / "their_samplers.py").write_text(
        "class Inverse:\n    def __call__(self, counts):\n        return [1 / n for n in counts]\n"
    )
    monkeypatch.syspath_prepend(str(folder))
    registry._entry_points.cache_clear()
    yield
    registry._entry_points.cache_clear()


def test_own_names_stay_names():
    assert class_sampler("natural", "sampling", SAMPLING) == "natural"
    assert class_sampler("effective_number", "a", CLASS_WEIGHTS) == "effective_number"


def test_a_function_or_a_class_of_ones_own():
    found = class_sampler({"_target_": f"{HERE}.cube_root"}, "sampling", SAMPLING)
    assert class_weights([1, 8], found) == pytest.approx([1.8, 0.9])  # 1 and 1/2; 1 + 8/2 = 5
    node = {"_target_": f"{HERE}.Power", "exponent": 1.0}
    found = class_sampler(node, "sampling", SAMPLING)
    assert class_weights([1, 4], found) == class_weights([1, 4], "balanced")


def test_an_installed_package_offers_one(installed):
    found = class_sampler("inverse", "sampling", SAMPLING)
    assert class_weights([1, 4], found) == class_weights([1, 4], "balanced")
    with pytest.raises(ConfigError, match="sqrt is offered by model-diet and their-samplers"):
        class_sampler("sqrt", "sampling", SAMPLING)


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        (
            "sampling",
            "balancd",
            r"mean balanced\?\); there are natural, balanced, sqrt,",
        ),
        ("sampling", "none", "sampling=none does not exist"),
        ("loss.class_weights", "natural", "natural does not exist; there are none, balanced"),
        ("sampling", "{a:1}", "has no _target_, which names your class"),
        ("sampling", 3, "sampling: builtins.int is no class sampler: it has no __call__"),
    ],
)
def test_what_is_no_sampler_is_refused_before_torch(homes, compose_config, key, value, sentence):
    with pytest.raises(ConfigError, match=sentence):
        check(compose_config(f"{key}={value}"))


def test_a_sampler_that_cannot_be_imported():
    with pytest.raises(ConfigError, match="sampling: nowhere.Sampler cannot be built"):
        class_sampler({"_target_": "nowhere.Sampler"}, "sampling", SAMPLING)


def sampled(cfg) -> Any:
    data = make_data(cfg)
    data.prepare_data()
    loader = data.train_dataloader()
    assert isinstance(data, ImageData) and isinstance(loader.sampler, EpochSampler)
    return loader.sampler.weights


@pytest.mark.slow
def test_data_are_sampled_by_ones_own(homes, compose_config):
    words = ["data=synthetic", "data.image_size=16"]
    own = f"sampling={{_target_: {HERE}.Power, exponent: 1.0}}"
    cfg = compose_config(*words, own)
    check(cfg)
    assert sampled(cfg).tolist() == sampled(compose_config(*words, "sampling=balanced")).tolist()


def test_losses_weigh_by_ones_own(compose_config):
    cfg = compose_config("loss=focal", f"loss.class_weights={{_target_: {HERE}.cube_root}}")
    loss = build_loss(cfg.loss, class_counts=[1, 8])
    assert loss.weights.tolist() == pytest.approx([1.8, 0.9])
    node = {"_target_": "lightning_modules.training.losses.weighted.CrossEntropy"}
    by_object = build({**node, "class_weights": Power(), "class_counts": [1, 4]})
    assert by_object.weights.tolist() == pytest.approx(class_weights([1, 4], "balanced"))
