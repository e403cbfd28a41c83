"""Loggers that cannot be are refused before torch is imported."""

import subprocess
import sys

import pytest
from omegaconf import OmegaConf

from compression import registry
from lightning_modules.config.options import check_options
from lightning_modules.errors import ConfigError
from lightning_modules.reporting.loggers.schema import LOGGERS, check_loggers, chosen_loggers


def cfg(choices=None, **nodes):
    return OmegaConf.create({"logger": nodes, "hydra": {"runtime": {"choices": choices or {}}}})


OWN = {"_target_": "pytorch_lightning.loggers.CSVLogger"}
WANDB = {"_target_": LOGGERS.path("wandb", "logger")}
MLFLOW = {"_target_": LOGGERS.path("mlflow", "logger")}
URI = "tracking_uri"


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        ({"csv": OWN, "none": None}, r"logger=\[csv,none\] has none beside others; leave none out"),
        ({"csv": {"x": 1}}, r"logger\.csv has settings but was not chosen; choose it with log"),
        ({"csv": 5}, r"logger\.csv=5 is no node"),
        ({"a": {"_target_": "nowhere.At"}}, r"logger\.a\._target_=nowhere\.At does not exist"),
        ({"a": {"_target_": 3}}, r"logger\.a\._target_=3 does not exist"),
        ({"a": {"_target_": ".x"}}, r"logger\.a\._target_=\.x does not exist"),
        ({"w": {**WANDB, "mode": "onlin"}}, r"logger\.w\.mode=onlin .*mean online.*; there are"),
        (
            {"m": {**MLFLOW, URI: "file:/x"}},
            r"logger\.m\.tracking_uri=file:/x is not allowed; it",
        ),
        ({"m": {**MLFLOW, URI: "outputs"}}, r"tracking_uri=outputs is .* as sqlite:///out"),
        ({"m": {**MLFLOW, URI: None}}, r"tracking_uri=null is not allowed; it must be a file, as"),
        ({"m": MLFLOW}, r"logger\.m\.tracking_uri has no value"),
    ],
)
def test_refusals(nodes, said):
    with pytest.raises(ConfigError, match=said):
        check_loggers(cfg(**nodes))


@pytest.mark.parametrize(
    "nodes",
    [
        {},
        {"none": None},
        {"none": None, "mine": OWN},  # logger=none +logger.mine._target_=...
        {"csv": OWN, "wandb": None},
        {"wandb": {"_target_": None}},  # as a run of before says it
        {"w": {**WANDB, "mode": "online"}, "c": OWN},
        {"m": {**MLFLOW, "tracking_uri": "databricks"}},
        {"m": {**MLFLOW, "tracking_uri": "http://localhost"}},
    ],
)
def test_what_may_be(nodes, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    check_loggers(cfg({"logger": "none"}, **nodes))


def test_chosen_loggers():
    off = {**WANDB, "mode": "disabled"}
    found = chosen_loggers(cfg(none=None, csv=OWN, wandb={"_target_": None}, x={"y": 1}, off=off))
    assert list(found) == ["csv", "x"]


def test_the_environment_says_what_wandb_does(compose_config, monkeypatch):
    assert compose_config().logger.wandb.mode == "offline"
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.setenv("WANDB_PROJECT", "cans")
    assert chosen_loggers(compose_config(hydra=True)) == {}
    typed = compose_config("logger.wandb.mode=offline", hydra=True)
    assert chosen_loggers(typed)["wandb"].project == "cans"


def test_without_wandb_the_default_is_no_logger_and_a_chosen_one_is_refused(
    compose_config, monkeypatch
):
    monkeypatch.setitem(sys.modules, "wandb", None)  # as if it were not installed
    default = compose_config(hydra=True)
    check_loggers(default)
    assert chosen_loggers(default) == {}
    with pytest.raises(
        ConfigError, match="logger=wandb needs the package wandb, .*`pip install wandb`"
    ):
        check_loggers(compose_config("logger=wandb", hydra=True))


def test_online_without_a_key_is_refused(compose_config, monkeypatch, tmp_path):
    import wandb

    for name in ("WANDB_API_KEY", "NETRC", "WANDB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WANDB_BASE_URL", "http://wandb.example:8080")
    wandb.teardown()  # it reads the environment once
    online = compose_config("logger.wandb.mode=online", hydra=True)
    said = r"mode=online needs a key for http://wandb.example:8080, .*`wandb login`, set WANDB_API"
    with pytest.raises(ConfigError, match=said):
        check_loggers(online)
    (tmp_path / ".netrc").write_text("machine other login user password " + "b" * 40)
    with pytest.raises(ConfigError, match=said):
        check_loggers(online)
    (tmp_path / ".netrc").write_text("machine wandb.example:8080 login user password " + "b" * 40)
    check_loggers(online)
    wandb.teardown()


@pytest.mark.parametrize("extra", ["mlflow", "tensorboard"])
def test_a_missing_package_is_said_with_its_command(compose_config, monkeypatch, extra):
    monkeypatch.setattr("lightning_modules.registry.find_spec", lambda name: None)
    said = rf"logger={extra} needs {extra}, which is not installed; .*model-diet\[{extra}\]"
    with pytest.raises(ConfigError, match=said):
        check_loggers(compose_config(f"logger={extra}", hydra=True))


@pytest.fixture
def offering(tmp_path, monkeypatch):
    """Installs a package that offers loggers by entry points."""

    def install(name, *loggers):
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        lines = [f"{logger} = {name}.deep:Logger" for logger in loggers]
        (info / "entry_points.txt").write_text("\n".join(["[model_diet.loggers]", *lines]) + "\n")
        registry._entry_points.cache_clear()

    monkeypatch.syspath_prepend(str(tmp_path))
    yield install
    registry._entry_points.cache_clear()


def test_a_logger_of_an_installed_package_is_an_option(offering, compose_config):
    offering("one", "lines")
    with pytest.raises(ConfigError, match="There is no logger=other; there are: csv, mlflow"):
        check_options(["logger=[csv,other]"])
    check_options(["logger=[csv,lines]"])
    assert compose_config("logger=[csv,lines]").logger.lines == {"_target_": "one.deep.Logger"}
    assert compose_config("logger=lines").logger == {"lines": {"_target_": "one.deep.Logger"}}
    with pytest.raises(ConfigError, match=r"logger\.lines\._target_=one\..*no such package can be"):
        check_loggers(compose_config("logger=lines", hydra=True))


def test_a_name_that_two_packages_claim(offering):
    from lightning_modules.reporting import check_classes

    offering("one", "lines", "csv")
    offering("two", "lines")
    with pytest.raises(ConfigError, match="logger=lines: the logger lines is offered by .* and "):
        check_options(["logger=lines"])
    with pytest.raises(ConfigError, match="the logger csv is offered by model-diet and one; unins"):
        check_classes(cfg(csv=OWN))
    check_classes(cfg(mine=OWN))


def test_it_is_free_of_torch():
    code = (
        "import sys, lightning_modules.reporting.loggers.schema;"
        "assert not {'torch', 'wandb', 'mlflow', 'pytorch_lightning'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
