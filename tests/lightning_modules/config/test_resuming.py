"""A run goes on as it was composed when it began, whatever its conf files say now."""

import json

import pytest
from omegaconf import OmegaConf

from lightning_modules.config import command_line
from lightning_modules.config.resuming import take_saved
from lightning_modules.errors import ConfigError
from lightning_modules.runs.dependencies import DEPENDS_ON, package_version

WORDS = ["model=mine", "optimizer.lr=0.3", "callbacks=[ema]", "seed=7"]


@pytest.fixture
def begin(homes, compose_config):
    """Leaves what a run wrote when it began, with an option of its own that has gone since."""

    def begun(*words, version=None):
        run = homes / "a run"
        (run / ".hydra").mkdir(parents=True)
        cfg = compose_config("optimizer.lr=0.3", "callbacks=[ema]", "seed=7", *words, hydra=True)
        hydra = OmegaConf.create({"hydra": {"runtime": {"choices": cfg.hydra.runtime.choices}}})
        hydra.hydra.runtime.choices.model = "mine"
        content = OmegaConf.masked_copy(cfg, [key for key in cfg if key != "hydra"])
        OmegaConf.set_struct(content, False)
        content.model.name = "mine"
        OmegaConf.save(content, run / ".hydra" / "config.yaml")
        OmegaConf.save(hydra, run / ".hydra" / "hydra.yaml")
        (run / ".hydra" / "overrides.yaml").write_text(json.dumps([*WORDS, *words]))
        if version is not None:
            (run / DEPENDS_ON).write_text(json.dumps({"version": version}))
        return run

    return begun


def resumed(compose_config, run, *typed):
    """What a command composes that resumes a run."""
    words = command_line.expand([f"resume={run}", *typed])
    cfg = compose_config(*words, hydra=True)
    take_saved(cfg)
    return cfg


def test_the_saved_configuration_comes_before_conf(begin, compose_config):
    run = begin(version=package_version())
    cfg = resumed(compose_config, run, "trainer.max_epochs=9", "callbacks.ema.decay=0.5")
    saved = OmegaConf.load(run / ".hydra" / "config.yaml")
    saved.trainer.max_epochs, saved.callbacks.ema.decay, saved.resume = 9, 0.5, str(run)
    assert OmegaConf.masked_copy(cfg, [key for key in cfg if key != "hydra"]) == saved
    assert (cfg.optimizer.lr, cfg.model.name, cfg.seed) == (0.3, "mine", 7)
    assert cfg.hydra.runtime.choices.model == "mine"
    typed = ["trainer.max_epochs=9", "callbacks.ema.decay=0.5"]
    assert list(cfg.hydra.overrides.task) == [*WORDS, f"resume='{run}'", *typed]
    assert cfg.hydra.run.dir == str(run)


def test_another_option_is_taken_whole(begin, compose_config):
    run = begin("logger=csv", version=package_version())
    cfg = resumed(compose_config, run, "logger=none", "callbacks=[ema,progress]")
    composed = compose_config("logger=none", "callbacks=[ema,progress]")
    assert cfg.callbacks == composed.callbacks and list(cfg.callbacks) == list(composed.callbacks)
    assert cfg.logger == composed.logger
    assert cfg.hydra.runtime.choices.logger == "none"
    assert list(cfg.hydra.overrides.task)[-2:] == ["logger=none", "callbacks=[ema,progress]"]


def test_what_needs_an_option_that_is_gone_is_said(begin, compose_config):
    run = begin()  # of an earlier version, whose words are composed
    with pytest.raises(ConfigError, match=r"There is no model=mine; there are: "):
        resumed(compose_config, run)


@pytest.mark.parametrize("version", [None, "0.0.1"])
def test_a_run_of_another_version_is_composed_of_its_words(begin, compose_config, version):
    run = begin(version=version)
    words = ["optimizer.lr=0.4", "callbacks=[ema]"]
    (run / ".hydra" / "overrides.yaml").write_text(json.dumps(words))
    cfg = resumed(compose_config, run, "trainer.max_epochs=9")
    assert (cfg.optimizer.lr, cfg.seed, cfg.trainer.max_epochs) == (0.4, 0, 9)
    own = [f"resume='{run}'", "trainer.max_epochs=9"]
    assert list(cfg.hydra.overrides.task) == [*words, *own]


def test_a_key_that_was_added_and_is_there_by_now(begin, compose_config):
    run = begin()
    words = ["+trainer.max_epochs=4", "+compression=[tucker]", "+teacher.a.run=/x"]
    (run / ".hydra" / "overrides.yaml").write_text(json.dumps(words))
    cfg = resumed(compose_config, run)
    assert cfg.trainer.max_epochs == 4 and list(cfg.compression) == ["tucker"]
    assert cfg.teacher.a.run == "/x"


@pytest.mark.parametrize("text", ["", "# nothing\n", "[]"])
def test_a_run_without_words(begin, compose_config, text):
    run = begin(version=package_version())
    (run / ".hydra" / "overrides.yaml").write_text(text)
    cfg = resumed(compose_config, run)
    assert cfg.optimizer.lr == 0.3
    assert list(cfg.hydra.overrides.task) == [f"resume='{run}'"]


@pytest.mark.parametrize("content", [b"{a: 1}", b"[a, {b: 1}]", b"[a", b"\xff\xfe\x00", b"3"])
def test_damaged_words(begin, content):
    run = begin(version=package_version())
    (run / ".hydra" / "overrides.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match="its .hydra/overrides.yaml is damaged; start a new run"):
        command_line.expand([f"resume={run}"])


def test_several_runs_at_once_are_one_where_one_is_resumed(begin):
    words = command_line.expand(["-m", f"resume={begin(version=package_version())}"])
    assert "-m" not in words


def test_a_new_run_is_left_as_it_is_composed(compose_config):
    cfg = compose_config("optimizer.lr=0.3", hydra=True)
    before = OmegaConf.to_container(cfg, resolve=False)
    take_saved(cfg)
    assert OmegaConf.to_container(cfg, resolve=False) == before
