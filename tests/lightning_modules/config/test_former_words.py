"""Former keys, values and options go on working, each with one line that says its present name."""

import pytest
from omegaconf import OmegaConf

from lightning_modules import registry
from lightning_modules.config import command_line, former_words
from lightning_modules.config.former_words import current_words, rename_composed
from lightning_modules.runs import renames

TABLE = {
    "keys": {
        "data.fit": "data.resize_mode",
        "compression.*.epochs": "compression.*.fine_tuning.epochs",
        "compression.*(Prune).least": "compression.*.min_ratio",
    },
    "keys_of_values": {"model.channels": {"key": "model.order", "values": ["rgb", "bgr", "null"]}},
    "values": {"compression.*(PruneWeights).scope": {"layer": "uniform"}},
    "options": {"distillation/old": "distillation/soft_targets"},
}


@pytest.fixture(autouse=True)
def table(monkeypatch):
    """A table of its own, and nothing told yet."""
    known = {**registry.table(), **TABLE}
    monkeypatch.setattr(renames, "table", lambda: known)
    renames.renames.cache_clear()
    monkeypatch.setattr(former_words, "_announced", set())
    yield
    renames.renames.cache_clear()


def said(capsys):
    return capsys.readouterr().err.splitlines()


@pytest.mark.parametrize(
    ("typed", "present"),
    [
        ("data.fit=crop", "data.resize_mode=crop"),
        ("+data.fit=crop", "+data.resize_mode=crop"),
        ("++data.fit=crop", "++data.resize_mode=crop"),
        ("~data.fit", "~data.resize_mode"),
        ("~data.fit=crop", "~data.resize_mode=crop"),
        ("data.fit=crop,pad", "data.resize_mode=crop,pad"),
        (
            "compression.prune.least=interval(0.1,0.2)",
            "compression.prune.min_ratio=interval(0.1,0.2)",
        ),
        ("compression.tucker.epochs=3", "compression.tucker.fine_tuning.epochs=3"),
        (
            "compression.tucker={epochs:3,ratio:0.5}",
            "compression.tucker={ratio:0.5,fine_tuning:{epochs:3}}",
        ),
        ("compression.prune_weights.scope=layer", "compression.prune_weights.scope=uniform"),
        (
            "compression.prune_weights.scope=global,layer",
            "compression.prune_weights.scope=global,uniform",
        ),
        ("distillation=old", "distillation=soft_targets"),
        ("model.channels=bgr", "model.order=bgr"),
        ("model.channels=null", "model.order=null"),
        ("model.channels='bgr'", "model.order='bgr'"),
        ("+model.channels=rgb,bgr", "+model.order=rgb,bgr"),
        ("model.channels=choice(bgr,rgb)", "model.order=choice(bgr,rgb)"),
        ("model={channels:bgr,name:x}", "model={name:'x',order:'bgr'}"),
        ("distillation=[old,dkd]", "distillation=[soft_targets,dkd]"),
        ("distillation=choice(old,dkd)", "distillation=choice(soft_targets,dkd)"),
    ],
)
def test_former_words_are_read_and_told_once(typed, present, capsys):
    assert current_words([typed, typed]) == [present, present]
    (line,) = said(capsys)
    assert line.startswith("note ") and line.endswith(" now")
    assert current_words([typed], announce=False) == [present]
    assert not said(capsys)


@pytest.mark.parametrize(
    "word",
    [
        "compression.tucker.least=1",  # of another step
        "compression.prune.scope=layer",  # of another step
        "data.fit_other=1",
        "trainer.max_epochs=3",
        "compression.prune={ratio:0.5}",
        "loss=old",
        "-m",
        "~logger",
        "data.root='a fit/old'",
        "+model.channels=[8,16]",  # the network's own
        "model.channels=36",
        "model.channels=36,rgb",
        "~model.channels",
    ],
)
def test_other_words_stay_as_they_are(word, capsys):
    assert current_words([word]) == [word]
    assert not said(capsys)


def test_the_line_names_the_present_key(capsys):
    command_line.expand(["data.fit=crop", "-m", "distillation=old"])
    assert said(capsys) == [
        "note     data.fit is called data.resize_mode now",
        "note     distillation=old is called distillation=soft_targets now",
    ]


def test_a_former_key_in_a_file_of_the_users_own(compose_config, capsys):
    cfg = compose_config("+compression=prune", "++data.fit=crop", "++compression.prune.least=0.3")
    OmegaConf.set_struct(cfg, False)
    cfg.sweep.params = {"compression.prune.least": "interval(0.1,0.2)", "+distillation": "old,dkd"}
    OmegaConf.set_struct(cfg, True)
    rename_composed(cfg)
    assert cfg.data.resize_mode == "crop" and "fit" not in cfg.data
    assert cfg.compression.prune.min_ratio == 0.3 and "least" not in cfg.compression.prune
    assert cfg.sweep.params == {
        "compression.prune.min_ratio": "interval(0.1,0.2)",
        "+distillation": "soft_targets,dkd",
    }
    assert "note     data.fit is called data.resize_mode now" in said(capsys)
    assert OmegaConf.is_struct(cfg) and cfg.objective == "val/f1"


def test_what_was_typed_comes_before_a_file(compose_config, monkeypatch):
    cfg = compose_config("++data.fit=crop", "++data.resize_mode=pad")
    monkeypatch.setattr(former_words, "_overrides", lambda _: ["++data.resize_mode=pad"])
    rename_composed(cfg)
    assert cfg.data.resize_mode == "pad" and "fit" not in cfg.data


def test_a_word_keeps_the_key_of_a_file_in_former_names(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(former_words, "CONF", tmp_path)
    for group, text in {"compression": "mine: {epochs: 3}", "data": "fit: crop"}.items():
        (tmp_path / group).mkdir()
        (tmp_path / group / "mine.yaml").write_text(text)
    words = ["+compression=[mine,prune]", "compression.mine.epochs=4", "data=mine", "data.fit=pad"]
    assert current_words(words) == words and not said(capsys)
    assert current_words(["compression.mine.epochs=4"]) == ["compression.mine.fine_tuning.epochs=4"]


def test_a_former_option_in_an_experiment(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(former_words, "CONF", tmp_path)
    (tmp_path / "experiment").mkdir()
    text = "defaults:\n  - /compression: [prune]\n  - override /distillation: old\n"
    (tmp_path / "experiment" / "mine.yaml").write_text(text)
    assert former_words.current_options(["experiment=mine"]) == ["distillation=soft_targets"]
    assert said(capsys) == ["note     distillation=old is called distillation=soft_targets now"]
    assert former_words.current_options(["experiment=mine", "distillation=dkd"]) == []


def test_stored_configurations_are_read_without_a_word(capsys):
    stored = {
        "data": {"fit": "pad", "resize_mode": "stretch"},
        "compression": {
            "first": {"_target_": "compression.pruning.prune.Prune", "least": 0.2, "epochs": 2},
            "other": {"_target_": "x.Mine", "least": 0.2, "scope": "layer"},
            "last": {"_target_": "x.PruneWeights", "scope": "layer"},
        },
    }
    found = renames.current_config(stored)
    assert found["data"] == {"resize_mode": "pad"}
    assert found["compression"] == {
        "first": {
            "_target_": "compression.pruning.prune.Prune",
            "min_ratio": 0.2,
            "fine_tuning": {"epochs": 2},
        },
        "other": {"_target_": "x.Mine", "least": 0.2, "scope": "layer"},
        "last": {"_target_": "x.PruneWeights", "scope": "uniform"},
    }
    assert stored["data"] == {"fit": "pad", "resize_mode": "stretch"} and not said(capsys)


@pytest.mark.parametrize(
    ("node", "present"),
    [
        ({"_target_": None}, {"wandb": {"_target_": None}}),
        (
            {"_target_": "wandb.init", "project": "p", "mode": "online", "tags": ["a"]},
            {
                "wandb": {
                    "_target_": "lightning_modules.reporting.loggers.wandb.WandbRun",
                    "project": "p", "mode": "online", "tags": ["a"],
                }
            },
        ),
    ],
)  # fmt: skip
def test_the_logger_of_a_run_of_before(node, present, monkeypatch):
    from lightning_modules.reporting.loggers.schema import check_loggers, chosen_loggers

    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    monkeypatch.setattr(renames, "table", registry.table)
    renames.renames.cache_clear()
    found = renames.current_config({"logger": node})
    assert found == {"logger": present}
    assert renames.current_config(found) == found
    cfg = OmegaConf.create(found)
    check_loggers(cfg)
    assert list(chosen_loggers(cfg)) == (["wandb"] if node["_target_"] else [])


def test_each_key_of_the_table_leads_to_one_that_is_there(compose_config, monkeypatch):
    monkeypatch.setattr(renames, "table", registry.table)
    renames.renames.cache_clear()
    words = ["+compression=[prune,prune_weights]", "distillation=logit_normalization"]
    cfg = compose_config(*words)
    for former, present in registry.table()["keys"].items():
        name = "logit_normalization" if former.startswith("distillation") else "prune"
        old = former.replace("*(Prune)", name).replace("*", name)
        new = present.replace("*", name)
        assert current_words([f"{old}=1"], announce=False) == [f"{new}=1"]
        node, _, key = new.rpartition(".")
        assert key in OmegaConf.select(cfg, node), new
        assert OmegaConf.select(cfg, old, default="gone") == "gone", old
