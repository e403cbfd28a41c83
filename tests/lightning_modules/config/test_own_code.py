"""Code of one's own in a command: `model._target_` alone, and where its code lies."""

import sys

import pytest

from lightning_modules.config import command_line
from lightning_modules.config.check import check
from lightning_modules.config.composing import fresh_config
from lightning_modules.config.options import option_values
from lightning_modules.config.own_code import find_own_code, named_packages, own_network
from lightning_modules.errors import ConfigError
from lightning_modules.networks import build_network, check_model
from lightning_modules.networks.building import OWN_KEYS
from lightning_modules.registry import plain
from lightning_modules.runs import run_directory, trust_word

NET = """
from torch import nn
from {name}_layers import LAYERS

class Net(nn.Sequential):
    def __init__(self, n_classes, width=4):
        super().__init__(nn.Conv2d(3, width, 3), *LAYERS, nn.Linear(width, n_classes))
"""
LAYERS = "from torch import nn\nLAYERS = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]\n"
BASE = {*option_values("model", "_base"), "name", "_target_"}


@pytest.fixture
def beside(tmp_path, monkeypatch):
    """Puts a network into the current directory, of a name that no other test has."""
    name = f"own_{tmp_path.name.strip('0').rpartition('_')[2]}_{id(tmp_path)}"
    (tmp_path / f"{name}.py").write_text(NET.format(name=name))
    (tmp_path / f"{name}_layers.py").write_text(LAYERS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield name
    for module in [m for m in sys.modules if m.startswith(name)]:
        del sys.modules[module]


def test_a_target_alone_clears_what_the_default_network_brought():
    words = ["model._target_=my_net.Net", "model.width=8", "+model.depth=2", "seed=1"]
    expanded = own_network(words)
    assert expanded == [
        "model=custom", "model.name=Net", "++model._target_=my_net.Net", "++model.width=8",
        "+model.depth=2", "seed=1",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "first"),
    [
        (["model=custom", "model._target_=a.Net"], ["model.name=Net", "model=custom"]),
        (["model._target_=a.Net", "model.name=x"], ["model=custom", "++model._target_=a.Net"]),
        (["-m", "model._target_=a.Net,b.Net"], ["model=custom", "-m"]),
        (["model=resnet", "model._target_=a.Net"], ["model=resnet"]),
        (["from_run=last", "model._target_=a.Net"], ["from_run=last"]),
        (["resume=last", "model._target_=a.Net"], ["resume=last"]),
        (["model._target_=lightning_modules.networks.robnet.RobNet"], ["model._target_=lightnin"]),
        (["model.width=1"], ["model.width=1"]),
    ],
)
def test_when_it_is_a_network_of_ones_own(words, first):
    found = own_network(words)
    assert [word[: len(start)] for word, start in zip(found, first, strict=False)] == first


def test_only_the_keys_of_every_network_stay(beside):
    cfg = fresh_config([f"model._target_={beside}.Net", "model.width=8"])
    assert set(cfg.model) == BASE | {"width"}
    assert {*OWN_KEYS, "_target_"} >= BASE  # and none of them is passed on to the class
    assert (cfg.model.name, cfg.model.width) == ("Net", 8)
    network = build_network(cfg.model, num_classes=5, image_size=16)
    assert (network.body[0].out_channels, network.body[3].out_features) == (8, 5)


def test_the_run_is_named_after_the_class(compose_config):
    words = own_network(["model._target_=my_net.Net"])
    cfg = compose_config(*words, "+compression=tucker", hydra=True)
    assert run_directory.run_name(cfg) == "Net_synthetic_tucker"
    rows = compose_config("model=rows", "model.blocks=a/nets/found.yaml", hydra=True)
    assert run_directory.run_name(rows) == "found_synthetic"


def test_packages_that_a_command_names():
    words = [
        "model._target_=a_net.Net", "compression.prune.importance={_target_: b_score.Mine, x: 1}",
        "trust=[c_old,d_old]", "loss._target_=torch.nn.CrossEntropyLoss", "model.name=e_none",
        "++teacher.t.model={_target_: 'f_net.Net'}", "+callbacks.x._target_=compression.Step",
    ]  # fmt: skip
    assert named_packages(words) == {"a_net", "b_score", "c_old", "d_old", "torch", "f_net"}


def test_the_current_directory_is_searched_last_and_only_for_what_is_named(beside):
    before = [*sys.path]
    find_own_code({"torch", "nowhere"})
    assert sys.path == before
    find_own_code({beside})
    assert sys.path[:-1] == before


def test_a_file_that_hides_behind_python_itself_is_said(beside, tmp_path):
    (tmp_path / "code.py").write_text("")
    with pytest.raises(ConfigError, match="code.py cannot be named.*Python has a module code"):
        find_own_code({"code"})


@pytest.mark.parametrize("word", ["loss._target_={}.Net", "+callbacks.mine={{_target_: {}.Net}}"])
def test_any_target_of_a_command_is_found(beside, word):
    command_line.expand([word.format(beside)])
    assert str(sys.path[-1]).startswith("/") and sys.path.count(sys.path[-1]) == 1
    __import__(beside)


def test_an_own_option_file_names_code_too(beside, tmp_path, compose_config, homes):
    (tmp_path / "conf" / "model").mkdir(parents=True)
    text = f"defaults: [_base]\nname: mine\n_target_: {beside}.Net\nwidth: 3\n"
    (tmp_path / "conf" / "model" / "mine.yaml").write_text(text)
    cfg = compose_config("model=mine", f"hydra.searchpath=[file://{tmp_path}/conf]")
    check(cfg)
    assert build_network(cfg.model, num_classes=4, image_size=16).body[0].out_channels == 3


def test_what_a_saved_run_names_is_not_searched_unless_trusted(beside, compose_config, homes):
    words = own_network([f"model._target_={beside}.Net"])
    cfg = compose_config(*words, "resume=/some/run")
    with pytest.raises(ConfigError, match=rf"No module named '{beside}'; .*trust=\[{beside}\]"):
        check(cfg)
    find_own_code(named_packages([f"trust=[{beside}]"]))
    check_model(cfg.model, "model")


def test_a_missing_module_is_said_before_torch_is_imported(compose_config, homes):
    words = own_network(["model._target_=nowhere.Net"])
    with pytest.raises(ConfigError, match="model._target_=nowhere.Net: No module named 'nowhere'"):
        check(compose_config(*words))
    with pytest.raises(ConfigError, match="model._target_ has no value"):
        check(compose_config("model=custom"))
    with pytest.raises(ConfigError, match="is no class or function; give module and name"):
        check(compose_config("model=custom", "model._target_=Net"))


def test_printed_commands_name_what_must_be_trusted(leave, tmp_path):
    words = own_network(["model._target_=my_net.Net", "model.width=3"])
    step = "+compression.mine={_target_: my_steps.Halve}"
    assert trust_word(leave(tmp_path / "own", *words, step)) == " 'trust=[my_net,my_steps]'"
    assert trust_word(leave(tmp_path / "ours", "augment=strong")) == ""


def test_a_run_of_it_is_entered_by_the_printed_command(leave, tmp_path, monkeypatch):
    words = own_network(["model._target_=my_net.Net", "model.width=3"])
    run = leave(tmp_path / "own", *words, f1=0.5)
    (run / "model").mkdir()
    (run / "model" / "network.yaml").write_text("class_names: [a, b]\nmodel: {}\n")
    printed = command_line.expand([f"from_run={run}", "trust=[my_net]"])
    assert printed[:1] == ["model=custom"] and "++model._target_='my_net.Net'" in printed
    cfg = fresh_config([word for word in printed if not word.startswith("from_run")])
    assert plain(cfg.model)["width"] == 3 and cfg.model.name == "Net"
    with pytest.raises(ConfigError, match=r"wants to run my_net.Net.*trust=\[my_net\]"):
        command_line.expand([f"from_run={run}"])


def test_a_run_of_it_is_continued_by_the_printed_command(leave, tmp_path):
    run = leave(tmp_path / "own", *own_network(["model._target_=my_net.Net"]))
    stored = ["model=custom", "model.name=Net", "++model._target_=my_net.Net"]
    (run / ".hydra" / "overrides.yaml").write_text("".join(f"- {word}\n" for word in stored))
    words = command_line.expand([f"resume={run}", "trust=[my_net]"])
    assert words[:3] == stored and "trust=[my_net]" in words
