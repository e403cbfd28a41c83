"""Which runs repeat one configuration, and in what configurations differ."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from lightning_modules.runs.configurations import (
    as_text,
    differing,
    identity,
    place_of,
    settings_of,
)


def container(cfg):
    return OmegaConf.to_container(cfg, resolve=False)


def settings_with(compose_config, *overrides):
    return settings_of(container(compose_config(*overrides)))


def test_seed_fold_and_what_changes_no_figure_do_not_count(compose_config):
    plain = identity(settings_with(compose_config))
    for word in (
        "seed=3", "logger=none", "outputs_dir=/x", "cache_dir=/y", "objective=cost/macs",
        "sweep.n_trials=3", "data.num_workers=4", "resume=/z", "++data.fold=2",
        "teacher_policy=refuse",
    ):  # fmt: skip
        changed = settings_with(compose_config, word)
        assert identity(changed) == plain, word


@pytest.mark.slow
def test_everything_else_counts(compose_config):
    plain = identity(settings_with(compose_config))
    for word in (
        "optimizer.lr=1e-3", "model.units=[1,1,1]", "data.root=/x", "++data.num_folds=5",
        "+compression=tucker", "augment=none", "trainer.max_epochs=3", "from_run=/x",
        "augment.crop_scale=[0.6,1.0]", "model.head=conv", "trainer.keep=best",
    ):  # fmt: skip
        assert identity(settings_with(compose_config, word)) != plain, word


def test_the_order_of_steps_counts_and_that_of_overrides_does_not(compose_config):
    step = {"_target_": "x"}
    chains = [{"compression": dict.fromkeys(order, step)} for order in ("ab", "ba")]
    assert identity(settings_of(chains[0])) != identity(settings_of(chains[1]))
    assert settings_of(chains[0])["compression"] == "a, b"
    assert settings_of({"compression": {}}) == settings_of({"compression": []})
    words = ["optimizer.lr=1e-3", "+optimizer.x=1", "+optimizer.y=2", "data.batch_size=32"]
    one, two = (settings_with(compose_config, *order) for order in (words, words[::-1]))
    assert identity(one) == identity(two)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)
CONFIG = st.dictionaries(st.sampled_from(["a", "b", "data", "model", "seed"]), PLAIN)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(CONFIG, st.randoms())
def test_identity_knows_no_order_of_keys(config, random):
    keys = list(config)
    random.shuffle(keys)
    shuffled = {key: config[key] for key in keys}
    assert identity(settings_of(config)) == identity(settings_of(shuffled))


def test_whole_numbers_may_be_written_as_floats():
    assert identity({"x": [0, {"y": 1}]}) == identity({"x": [0.0, {"y": 1.0}]})
    assert identity({"x": True}) != identity({"x": 1})
    assert identity({"x": None}) != identity({})


def test_the_place_of_a_run():
    config = {"seed": 3, "data": {"fold": 1}, "from_run": "/x"}
    assert place_of(config) == ("seed=3", "data.fold=1")
    assert place_of({"seed": 0, "data": {}}) == ("seed=0",)
    assert place_of(config, over=("seed", "from_run")) == ("seed=3", "from_run=/x")


def test_only_differing_keys_are_columns():
    base = {"optimizer.lr": 1e-3, "data.name": "d", "trainer.max_epochs": 3}
    assert differing([base]) == []
    assert differing([base, base]) == []
    assert differing([base, {**base, "optimizer.lr": 1e-2}]) == ["optimizer.lr"]
    assert differing([base, {**base, "new.key": None}]) == ["new.key"]


def test_an_option_explains_what_always_comes_with_it():
    first = {"model": "resnet", "model.variant": "resnet18", "model.width": 1}
    second = {"model": "vgg", "model.variant": "vgg11", "model.width": 1}
    assert differing([first, second]) == ["model"]
    third = {**first, "model.variant": "resnet34"}
    assert differing([first, second, third]) == ["model", "model.variant"]
    assert differing([first, third]) == ["model.variant"]


def test_values_are_shown_as_typed():
    values = [None, True, 0.003, 1e-07, "tucker", [1, 2], 0.1 + 0.2]
    assert [*map(as_text, values)] == [
        "null", "true", "0.003", "1e-07", "tucker", "[1, 2]", "0.3"
    ]  # fmt: skip
