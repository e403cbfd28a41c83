"""`resume=` and `from_run=` become plain overrides; unknown options are named with what exists."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from datamodules.typed_words import quote
from lightning_modules.config import command_line, options
from lightning_modules.errors import ConfigError
from lightning_modules.runs import run_directory

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.text("ab c/'\\.-$:{}[],=\"", max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("xyz", min_size=1), inner),
    max_leaves=6,
)


@settings(max_examples=500)
@given(PLAIN)
def test_quoted_values_come_back_through_hydras_grammar(value):
    override = OverridesParser.create().parse_override(f"key={quote(value)}")
    assert override.value() == value


def make_run(root, *, finished=False):
    run = root / "a run"
    (run / ".hydra").mkdir(parents=True)
    overrides = ["model=resnet", "model.variant=resnet18", "trainer.max_epochs=3", "from_run='/x'"]
    OmegaConf.save(OmegaConf.create(overrides), run / ".hydra" / "overrides.yaml")
    if finished:
        (run / "metrics.json").write_text("{}")
    return run


def test_resume_repeats_the_runs_overrides(homes):
    run = make_run(homes)
    found = command_line.expand([f"resume={run}", "trainer.max_epochs=5", "logger=none"])
    assert found == [
        "model=resnet",
        "model.variant=resnet18",
        "trainer.max_epochs=3",
        "from_run='/x'",
        f"resume='{run}'",
        "trainer.max_epochs=5",
        "logger=none",
        f"hydra.run.dir='{run}'",
        "hydra.output_subdir=.hydra/resume",
    ]


def test_a_resumed_run_of_before_keeps_its_logger_or_takes_another(homes, capsys):
    run = make_run(homes)
    path = run / ".hydra" / "overrides.yaml"
    OmegaConf.save(OmegaConf.create(["logger=wandb", "logger.mode=online", "seed=1"]), path)
    own = [f"resume='{run}'", f"hydra.run.dir='{run}'", "hydra.output_subdir=.hydra/resume"]
    kept = command_line.expand([f"resume={run}"])
    assert kept == ["logger=wandb", "logger.wandb.mode=online", "seed=1", *own]
    taken = command_line.expand([f"resume={run}", "logger=[csv,mlflow]"])
    assert taken == ["seed=1", own[0], "logger=[csv,mlflow]", *own[1:]]
    added = command_line.expand([f"resume={run}", "logger.wandb.mode=offline"])
    assert added == [*kept[:3], own[0], "logger.wandb.mode=offline", *own[1:]]
    assert not capsys.readouterr().err  # what is stored is read without a word


def test_a_resumed_run_with_an_option_that_is_gone(homes):
    run = make_run(homes)
    path = run / ".hydra" / "overrides.yaml"
    OmegaConf.save(OmegaConf.create(["logger=[csv,gone]"]), path)
    with pytest.raises(ConfigError, match="There is no logger=gone; there are: csv, mlflow"):
        command_line.expand([f"resume={run}"])


def test_resume_last_is_the_last_started_run(homes):
    run = make_run(homes)
    run_directory.update_pointer(run_directory.STARTED, run)
    assert f"resume='{run}'" in command_line.expand(["resume=last"])


@pytest.mark.parametrize("word", ["optimizer.lr=1", "seed=3", "+teacher=resnet18"])
def test_a_resumed_run_may_not_change(homes, word):
    with pytest.raises(ConfigError, match="only trainer.max_epochs, logger and callbacks"):
        command_line.expand([f"resume={make_run(homes)}", word])


def test_a_finished_run_is_not_resumed(homes):
    with pytest.raises(ConfigError, match="is finished.*from_run="):
        command_line.expand([f"resume={make_run(homes, finished=True)}"])


@pytest.mark.parametrize(("key", "pointer"), [("resume", "started"), ("from_run", "finished")])
def test_last_without_runs(homes, key, pointer):
    with pytest.raises(ConfigError, match=f"no last {pointer} run"):
        command_line.expand([f"{key}=last"])


def test_a_run_directory_without_a_model(homes):
    with pytest.raises(ConfigError, match="is not a finished run: it has no model/network.yaml"):
        command_line.expand([f"from_run={make_run(homes)}"])


def test_unknown_options_list_what_exists():
    with pytest.raises(ConfigError, match="no model=mnasnett; there are: .*mnasnet.*resnet"):
        command_line.expand(["model=mnasnett"])
    with pytest.raises(ConfigError, match="no compression=tuker; there are: .*tucker"):
        command_line.expand(["+compression=[tuker]"])


def test_a_launcher_that_is_not_installed_is_said_with_its_command(monkeypatch):
    options.check_options(["hydra/launcher=basic"])
    monkeypatch.setitem(options.LAUNCHERS, "joblib", ("parallel", "hydra_plugins.absent"))
    sentence = r"hydra/launcher=joblib needs absent, .*: pip install '\.\[parallel\]'"
    with pytest.raises(ConfigError, match=sentence):
        options.check_options(["hydra/launcher=joblib"])


def test_options_of_subfolders():
    options.check_options(["model=blocks/diet_found", "model=resnet,blocks/cv09_final"])
    with pytest.raises(ConfigError, match=r"no model=diet_found; there are: .*blocks/diet_found"):
        options.check_options(["model=diet_found"])


def test_an_alias_inside_its_own_anchor(tmp_path, monkeypatch):
    monkeypatch.setattr(options, "CONF", tmp_path)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "fine.yaml").write_text("a: &a {k: 3}\nb: *a\nc: [*a, *a]\n")
    options.check_options(["model=fine"])
    for text in ("blocks: &a\n  b1: *a\n", "blocks: &a\n  - [1, *a]\n"):
        (tmp_path / "model" / "loop.yaml").write_text(text)
        with pytest.raises(ConfigError, match=r"loop.yaml has an alias"):
            options.check_options(["model=loop"])


def test_from_run_keeps_changed_and_removed_blocks(homes, compose_config):
    run = homes / "run"
    (run / ".hydra").mkdir(parents=True)
    cfg = compose_config("model=blocks/diet_found", "model.blocks.b5.out=40", "~model.blocks.b4")
    OmegaConf.save(cfg, run / ".hydra" / "config.yaml")
    choices = {"hydra": {"runtime": {"choices": {"model": "blocks/diet_found"}}}}
    OmegaConf.save(OmegaConf.create(choices), run / ".hydra" / "hydra.yaml")
    overrides = command_line._group_overrides(run, "model", {"model"})
    assert overrides == ["model=blocks/diet_found", "++model.blocks.b5.out=40", "~model.blocks.b4"]
    assert compose_config(*overrides).model == cfg.model


@pytest.mark.parametrize("group", [pytest.param("model", marks=pytest.mark.slow), "data"])
def test_from_run_repeats_every_option(homes, compose_config, group):
    run = homes / "run"
    (run / ".hydra").mkdir(parents=True)
    for option in options.options_of(group):
        cfg = compose_config(f"{group}={option}")
        OmegaConf.save(cfg, run / ".hydra" / "config.yaml")
        choices = {"hydra": {"runtime": {"choices": {group: option}}}}
        OmegaConf.save(OmegaConf.create(choices), run / ".hydra" / "hydra.yaml")
        assert command_line._group_overrides(run, group, {group}) == [f"{group}={option}"]


def test_from_run_keeps_keys_that_are_younger_than_the_run(homes, compose_config):
    run = make_run(homes, finished=True)
    (run / "model").mkdir()
    (run / "model" / "network.yaml").write_text("class_names: [a, b]\n")
    cfg = compose_config("data=trashnet", "model=mobilenet_v2")
    OmegaConf.set_struct(cfg, False)
    del cfg.data.license, cfg.data.cache_scale, cfg.model.weights
    OmegaConf.save(cfg, run / ".hydra" / "config.yaml")
    words = command_line.expand([f"from_run={run}"])
    assert not any(word.startswith("~") for word in words)
    found = compose_config(*words[:-1])
    assert found.data.license == "MIT" and found.data.cache_scale == 1.25
    assert found.model.weights is None


def test_what_all_trials_share_is_shown():
    words = ["-m", "seed=0,1", "optimizer.lr=interval(1,2)", "trainer=cpu", "--cfg", "job"]
    assert command_line.expand(words) == ["--cfg", "job", "trainer=cpu"]
    assert command_line.expand(["--cfg=job", "trainer=cpu"]) == ["--cfg=job", "trainer=cpu"]


def test_the_multirun_flag_may_stand_anywhere():
    assert command_line.expand(["seed=0,1", "-m"]) == ["-m", "seed=0,1"]


@pytest.mark.parametrize("words", [["model=resnet,mnasnet"], ["~logger"], ["seed=range(3)"], []])
def test_other_command_lines_pass_unchanged(words):
    assert command_line.expand(words) == words


def make_foreign(root, target):
    run = root / "foreign"
    (run / "model").mkdir(parents=True)
    (run / "model" / "network.yaml").write_text("class_names: [a, b]\n")
    (run / ".hydra").mkdir()
    content = {
        "model": {"name": "resnet", "_target_": "lightning_modules.networks.zoo.x"},
        "data": {"name": "d", "source": {"_target_": target}},
        "augment": {},
    }
    OmegaConf.save(OmegaConf.create(content), run / ".hydra" / "config.yaml")
    choices = {"hydra": {"runtime": {"choices": {"model": "resnet", "data": "synthetic"}}}}
    OmegaConf.save(OmegaConf.create(choices), run / ".hydra" / "hydra.yaml")
    return run


def test_a_run_does_not_choose_what_is_executed(homes):
    run = make_foreign(homes, "os.system")
    with pytest.raises(ConfigError, match="wants to run os.system.*data.source._target_=os.system"):
        command_line.expand([f"from_run={run}", "+compression=tucker"])
    found = command_line.expand([f"from_run={run}", "data=synthetic"])
    assert not any("os.system" in word for word in found)
    found = command_line.expand([f"from_run={run}", "data.source._target_=os.system"])
    assert found[-2:] == ["data.source._target_=os.system", f"from_run='{run}'"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(28, "No space left on device", "/o/a"), "error: /o/a cannot be read or written"),
        (ConfigError("No."), "error: No."),
        (BrokenPipeError(), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_how_a_command_ends(error, code, monkeypatch):
    monkeypatch.setattr(command_line.os, "dup2", lambda *descriptors: None)
    monkeypatch.setattr(command_line.sys.stdout, "fileno", lambda: 1, raising=False)
    monkeypatch.setattr(command_line.signal, "signal", lambda *words: None)
    with pytest.raises(SystemExit) as end, command_line.report_errors():
        raise error
    assert end.value.code == code or str(end.value.code).startswith(str(code))


def test_a_bug_keeps_its_trace():
    with pytest.raises(FileNotFoundError), command_line.report_errors():
        raise FileNotFoundError(2, "No such file or directory", "x")


def test_a_directory_that_is_gone(tmp_path, monkeypatch):
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    with (
        pytest.raises(SystemExit, match="current directory is gone"),
        command_line.report_errors(),
    ):
        pass


def test_what_a_resolver_refuses_is_its_sentence():
    def refuse():
        raise ConfigError("No run can be written there.")

    OmegaConf.register_new_resolver("refuse_for_a_test", refuse, replace=True)
    cfg = OmegaConf.create({"a": "${refuse_for_a_test:}"})
    sentence = r"^error: No run can be written there\.$"
    with pytest.raises(SystemExit, match=sentence), command_line.report_errors():
        cfg.a  # noqa: B018
