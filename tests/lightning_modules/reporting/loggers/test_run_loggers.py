"""Loggers of any kind: told what they ask for, finished whatever happens, refused by name."""

import csv

import pytest
from omegaconf import OmegaConf
from pytorch_lightning.loggers import Logger

from lightning_modules.errors import ConfigError
from lightning_modules.reporting import check_classes, run_loggers
from lightning_modules.reporting.loggers.results import RunResults
from lightning_modules.reporting.loggers.run_loggers import RunLoggers
from lightning_modules.reporting.loggers.stage_logger import StageLogger, StepCount

HERE = "tests.lightning_modules.reporting.loggers.test_run_loggers"


class Noting(Logger):
    """Notes all that it is told."""

    name, version = "noting", 0

    def __init__(self, save_dir=None, run_name=None, factor=1):
        super().__init__()
        self.told = [("made", save_dir, run_name, factor)]
        MADE.append(self)

    def log_hyperparams(self, params):
        self.told.append(("hyperparams", params))

    def log_metrics(self, metrics, step=None):
        self.told.append((step, dict(metrics)))

    def finalize(self, status):
        self.told.append(status)


class Seeing(Noting):
    """Takes all results."""

    def log_results(self, results):
        self.told.append(("results", results.metrics["seed"], results.step))


class Unwilling(Noting):
    """Its server does not answer."""

    def log_hyperparams(self, params):
        raise OSError("the server\ndoes not answer.")


MADE = []


@pytest.fixture(autouse=True)
def made():
    MADE.clear()
    return MADE


def cfg(**nodes):
    return OmegaConf.create({"logger": nodes, "seed": 3})


def target(kind):
    return f"{HERE}.{kind}"


def test_a_logger_of_ones_own_gets_all_that_any_takes(tmp_path, run_of, made):
    assert run_of({"_target_": target("Noting"), "factor": 2}) == []
    (logger,) = made
    kind, params = logger.told[1]
    final = {"val/f1": 0.5, "cost/macs": 7.0, "search/pruned": 1.0}
    assert (kind, params["seed"]) == ("hyperparams", 3)
    assert params["search"] == {"params": {"+model.x y?": 1}}
    assert [logger.told[0], *logger.told[2:]] == [
        ("made", str(tmp_path / "run"), "a-title", 2),
        (1, {"00_train-val/f1": 0.0, "00_train-epoch": 0}),
        (3, {"00_train-val/f1": 0.25, "00_train-epoch": 1}),
        (5, {"01_tucker-val/f1": 0.0, "01_tucker-epoch": 0}),
        (7, {"01_tucker-val/f1": 0.25, "01_tucker-epoch": 1}),
        (7, final),
        "success",
    ]


def test_results_and_settings_of_ones_own(run_of, made):
    run_of({"_target_": target("Seeing"), "save_dir": "/mine"})
    (logger,) = made
    assert logger.told[0] == ("made", "/mine", "a-title", 1)
    assert logger.told[-2:] == [("results", 1, 7), "success"]


def test_after_an_error_all_are_finished_as_failed(tmp_path, run_of, made):
    with pytest.raises(ZeroDivisionError):
        run_of({"_target_": target("Noting")}, fails=True)
    assert made[0].told[-1] == "failed"
    both = cfg(a={"_target_": target("Noting")}, b={"_target_": target("Unwilling")})
    said = r"^logger.b cannot start: OSError: the server does not answer\.$"
    with pytest.raises(ConfigError, match=said), run_loggers(both, tmp_path, title="", group=""):
        raise AssertionError("it did not start")
    assert [logger.told[-1] for logger in made] == ["failed"] * 3


def test_csv_continues_in_a_new_version(tmp_path, run_of):
    for _ in range(2):
        run_of({"_target_": "pytorch_lightning.loggers.CSVLogger", "name": "csv"})
    for version in ("version_0", "version_1"):
        folder = tmp_path / "run" / "csv" / version
        with (folder / "metrics.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["step"] for row in rows] == ["1", "3", "5", "7", "7"]
        assert [row["01_tucker-val/f1"] for row in rows] == ["", "", "0.0", "0.25", ""]
        assert rows[-1]["val/f1"] == "0.5" and rows[-1]["cost/macs"] == "7.0"
        assert "name: m" in (folder / "hparams.yaml").read_text()


@pytest.mark.parametrize(
    ("node", "said"),
    [
        ({"_target_": "pathlib.Path"}, r"logger\.a\._target_=pathlib\.Path is no logger; give a"),
        ({"_target_": "os.sep"}, r"logger\.a\._target_=os\.sep is no logger"),
        ({"_target_": "builtins.max"}, r"logger\.a: builtins\.max cannot be built: no signature"),
        ({"_target_": "pathlib.Nope"}, r"pathlib\.Nope cannot be imported: .*no attribute 'Nope'"),
        ({"_target_": target("Noting"), "fac": 1}, r"logger\.a: .*unexpected keyword .*'fac'\.$"),
        ({"_target_": "pytorch_lightning.loggers.CSVLogger", "x": 1}, "unexpected keyword"),
    ],
)
def test_what_is_no_logger_is_refused_by_name(node, said):
    with pytest.raises(ConfigError, match=said):
        check_classes(cfg(a=node))


def test_what_makes_no_logger_is_refused(tmp_path):
    config = cfg(a={"_target_": "pathlib.Path.home"})
    check_classes(config)
    said = r"logger\.a\..*home is no logger"
    with pytest.raises(ConfigError, match=said), run_loggers(config, tmp_path, title="", group=""):
        raise AssertionError("it did not start")


def test_arguments_by_place(tmp_path, made):
    config = cfg(a={"_target_": target("Noting"), "_args_": ["/mine", "mine", 4]})
    with pytest.raises(ConfigError, match="multiple values for argument"):
        check_classes(config)  # it asks to be told of the run by these names
    config = cfg(a={"_target_": "pytorch_lightning.loggers.CSVLogger", "_args_": []})
    check_classes(config)


def test_those_set_to_null_are_left_out(tmp_path, made):
    config = cfg(a=None, none=None, b={"_target_": None}, c={"_target_": target("Noting")})
    check_classes(config)
    with run_loggers(config, tmp_path, title="", group=""):
        pass
    assert len(made) == 1


def test_a_stages_logger_stays_open_and_has_what_the_runs_has(made):
    loggers = RunLoggers({"a": Noting(run_name="x")})
    (stage,) = loggers.of_stage("00_train")
    assert (stage.name, stage.version, stage.save_dir) == ("noting", 0, None)
    stage.log_hyperparams({"x": 1})
    stage.finalize("success")
    assert stage.told == made[0].told == [("made", None, "x", 1)]
    with pytest.raises(AttributeError):
        _ = stage.nothing
    bare = StageLogger.__new__(StageLogger)
    with pytest.raises(AttributeError):  # as a copy would ask, before it has a logger
        _ = bare._logger


def test_results_of_a_run_that_trained_before_have_its_last_step(tmp_path):
    """As after a kill at the end of a run; here nothing was counted."""
    seeing = Seeing()
    results = RunResults({"seed": 3}, [], tmp_path, step=5)
    RunLoggers({"seeing": seeing}).log_results(results)
    counted = RunLoggers({"seeing": seeing})
    counted.of_stage("00_train")[0].log_metrics({"train/loss": 1.0}, 7)
    counted.log_results(results)
    assert seeing.told[1:] == [
        ("results", 3, 5), (7, {"00_train-train/loss": 1.0}), ("results", 3, 7)
    ]  # fmt: skip


def test_steps_never_fall():
    steps = StepCount()
    assert steps.in_run(None) == 0
    assert steps.in_run(4) == 4
    assert steps.in_run(2) == steps.in_run(None) == steps.last == 4
