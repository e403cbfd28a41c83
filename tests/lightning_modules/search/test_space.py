"""What is searched: the sweep's parameters less what the command line says."""

import re

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.trial import FixedTrial

from lightning_modules.errors import ConfigError
from lightning_modules.search.check import check_search
from lightning_modules.search.identity import identity, study_name
from lightning_modules.search.space import as_override, distributions, parse, search_space


def test_keys_of_the_command_line_leave_the_space(multirun):
    root = multirun("optimizer.lr=0.01", "++data.batch_size=32", "trainer.max_epochs=choice(1,2)")
    space = search_space(root)
    assert list(space.params) == [
        "optimizer.weight_decay", "loss.label_smoothing", "trainer.max_epochs"
    ]  # fmt: skip
    assert space.fixed == ["optimizer.lr=0.01", "++data.batch_size=32"]
    found, constant = distributions(space)
    assert found["trainer.max_epochs"].arguments["choices"] == [1, 2]
    assert (found["optimizer.weight_decay"].arguments["low"], constant) == (0.0001, [])


def test_an_option_without_the_key_drops_it(multirun, capsys):
    root = multirun("loss=arcface")
    assert "loss.label_smoothing" in search_space(root).params
    root = multirun("loss=custom", "loss._target_=torch.nn.CrossEntropyLoss")
    assert search_space(root).dropped == ["loss.label_smoothing"]
    check_search(root)
    assert "note     loss.label_smoothing is not searched" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["hydra.sweeper.params={optimizer.lrr: 'choice(1,2)'}"], "optimizer.lrr, which is not"),
        (["hydra.sweeper.params={optimiser.lr: 'choice(1,2)'}"], "did you mean optimizer"),
        (["hydra.sweeper.params={optimizer.lr: 'interval(1'}"], "cannot be read"),
        (["hydra.sweeper.params={optimizer.lr: 'tag(log, interval(0.0,1.0))'}"], "cannot be read"),
        (["hydra.sweeper.params={optimizer.lr: 'choice(1,2)'}", "optimizer.lr=1"], "nothing left"),
        (["objective=[val/f1,cost/macs]"], "1 entries for 2 objectives"),
        (["sweep.direction=upwards"], "sweep.direction=upwards does not exist"),
        (
            ["sweep.n_trials=0"],
            "sweep.n_trials=0 is not allowed; it must be a whole number above 0",
        ),
        (["sweep.sampler=best"], "sweep.sampler=best does not exist; there are auto, tpe"),
        (["sweep.sampler=grid"], "A grid has no end over optimizer.lr"),
        (
            ["+sweep.limits.mac=1"],
            "no key sweep.limits.mac (did you mean macs?); there are macs, params",
        ),
        (["sweep.limits={macs: -1}"], "sweep.limits.macs=-1 is not allowed"),
    ],
)
def test_mistakes_are_said_before_the_first_trial(multirun, words, sentence):
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        check_search(multirun(*words))


def test_the_same_search_has_the_same_name(multirun):
    name = study_name(multirun("optimizer.lr=0.01", "seed=3"))
    assert name.startswith("hyperparameters_shufflenet_g3_synthetic_")
    assert len(name.rsplit("_", 1)[1]) == 8
    same = ["sweep.n_trials=99", "logger=none", "sweep.parallel=2", "hydra.sweep.dir=/elsewhere"]
    assert study_name(multirun("seed=3", "optimizer.lr=0.01", *same)) == name
    for words in (
        ["optimizer.lr=0.02", "seed=3"],
        ["optimizer.lr=0.01", "seed=4"],
        ["optimizer.lr=interval(0.01,0.02)", "seed=3"],
        ["optimizer.lr=0.01", "seed=3", "sweep.limits={macs: 1e6}"],
        ["optimizer.lr=0.01", "seed=3", "objective=val/accuracy"],
        ["optimizer.lr=0.01", "seed=3", "sweep.direction=minimize"],
    ):
        assert study_name(multirun(*words)) != name


def test_models_that_are_swept_over_are_not_in_the_name(multirun):
    root = multirun("model=choice(resnet,mnasnet)")
    assert study_name(root).startswith("hyperparameters_synthetic_")
    assert identity(root)["space"]["params"]["model"] == "choice(resnet,mnasnet)"


def test_names_and_folders_that_a_user_gives(multirun, homes):
    root = multirun("hydra.sweeper.study_name=mine")
    assert root.hydra.sweep.dir == str(homes / "outputs" / "studies" / "mine")
    assert root.hydra.sweeper.storage == f"sqlite:///{homes}/outputs/studies/mine/study.db"
    root = multirun("hydra.sweep.dir=/elsewhere")
    assert root.hydra.sweeper.storage == "sqlite:////elsewhere/study.db"
    assert root.hydra.sweeper.study_name == study_name(root)


@pytest.mark.parametrize(("value", "word"), [(None, "null"), (True, "true"), (0.1, "0.1")])
def test_values_in_hydras_grammar(value, word):
    assert as_override("a.b", value) == f"a.b={word}"


@pytest.mark.parametrize("expression", ["choice('ok','nan','1e3','true','null','1')", "'nan','1'"])
def test_quoted_texts_are_drawn_as_texts(expression):
    found = parse("key", expression)
    for value in found.values:
        drawn = found.draw(FixedTrial({"key": value}), "key")
        override = OverridesParser.create().parse_override(as_override("key", drawn))
        assert isinstance(override.value(), str) and override.value() in expression


def test_texts_that_need_no_quotes_are_stored_as_ever():
    """Studies that exist have these choices."""
    assert parse("augment", "choice(none,'simple')").values == ["none", "simple"]
    assert parse("x", "choice([0.2, 1.0],[a,b])").values == ["[0.2,1.0]", "[a,b]"]
    assert parse("x", "'a',b,null,true,0.5").values == ["'a'", "b", "null", True, 0.5]


def test_a_study_that_took_texts_for_numbers_is_not_continued():
    import optuna

    trial = optuna.create_study().ask()
    trial.suggest_categorical("x", ["ok", "nan"])
    study = trial.study
    study.tell(trial, 1.0)
    with pytest.raises(ConfigError, match="took some quoted texts for numbers; begin the search"):
        parse("x", "choice('ok','nan')").draw(study.ask(), "x")
