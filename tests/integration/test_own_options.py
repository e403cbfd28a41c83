"""A network, teacher and step from outside, one file each and one YAML file; a class sampler."""

import json
import re
from pathlib import Path

import pytest

from lightning_modules.config import command_line
from lightning_modules.config.options import check_options, option_folders
from lightning_modules.errors import ConfigError
from tests.conftest import run_command

CODE = '''
from compression import Step
from compression.schema import Ratio, declared
from torch import nn


class Tiny(nn.Sequential):
    def __init__(self, *, num_classes: int, width: int = 4) -> None:
        layers = [nn.Conv2d(3, width, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        super().__init__(*layers, nn.Linear(width, num_classes))


def rare(counts):
    return [1 / n for n in counts]


@declared()
class Unbias(Step):
    """Takes the bias off the first convolution."""

    part: Ratio = 1.0

    def plan(self, network, context, round):
        found = [name for name, module in network.named_modules() if isinstance(module, nn.Conv2d)]
        return {"layer": found[0]}

    @staticmethod
    def restructure(network, plan):
        network.get_submodule(plan["layer"]).bias = None
        return network
'''
OPTIONS = {
    "model/mine": "defaults: [_base]\n_target_: own_parts.Tiny\nname: mine\nwidth: 6\n",
    "teacher/wide": (
        "defaults:\n  - _network@wide\n  - /model@wide.model: mine\nwide:\n  model: {width: 8}\n"
    ),
    "compression/unbias": (
        "defaults: [_fine_tuning@unbias.fine_tuning]\nunbias:\n  _target_: own_parts.Unbias\n"
        "  part: 1.0\n"
    ),
}
SMALL = [
    "data=synthetic", "data.image_size=32", "data.source.scenes=40", "data.batch_size=16",
    "trainer.max_epochs=1", "logger=none", "pictures=false", "report=false",
    "latency.backend=null",
]  # fmt: skip


@pytest.fixture
def own(homes, monkeypatch) -> Path:
    """A folder of options, and the code that they name, for commands and not for this process."""
    for name, text in OPTIONS.items():
        path = homes / "my_conf" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (homes / "site").mkdir()
    (homes / "site" / "own_parts.py").write_text(CODE)
    monkeypatch.setenv("PYTHONPATH", str(homes / "site"))
    return homes / "my_conf"


@pytest.mark.slow
def test_options_of_ones_own_go_through_a_run(homes, own):
    chosen = ["--config-dir", str(own), "model=mine", "+teacher=wide", "+compression=unbias"]
    rare = "{_target_: own_parts.rare}"
    samplers = [f"sampling={rare}", f"loss.class_weights={rare}"]
    run_command("run.py", *chosen, *samplers, *SMALL, f"hydra.run.dir={homes}/run")
    entries = json.loads((homes / "run" / "model" / "recipe.json").read_text())["entries"]
    assert [entry["step"] for entry in entries] == ["own_parts.Unbias"]
    assert "wide" in (homes / "run" / "run.log").read_text()
    # Where the folder is not named again, its options are unknown.
    trusted = ["model._target_=own_parts.Tiny", "+compression=unbias"]
    refused = run_command("run.py", f"from_run={homes}/run", *trusted, check=False)
    assert refused.returncode == 1
    assert "There is no compression=unbias; there are:" in refused.stderr.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["model=min"], "There is no model=min; there are: alexnet, "),
        (["model=mine", "model.widht=3"], "no key model.widht; did you mean width?"),
        (["+compression=unbias", "compression.unbias.part=2"],
         "compression.unbias.part=2 is not allowed; it must be a ratio in (0, 1]."),
    ],
)  # fmt: skip
def test_mistakes_in_options_of_ones_own(homes, own, words, sentence):
    done = run_command("run.py", *words, *SMALL, f"--config-dir={own}", check=False)
    assert done.returncode == 1
    assert sentence in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr
    assert not list(homes.glob("outputs/**/*.*"))


def test_where_options_lie(own, monkeypatch):
    monkeypatch.syspath_prepend(str(own.parent))
    for words in (
        ["--config-dir", str(own)],
        [f"--config-dir={own}"],
        ["-cd", str(own)],
        [f"hydra.searchpath=[file://{own}]"],
        ["hydra.searchpath=[pkg://my_conf]"],
        [f"hydra.searchpath=[{own}]"],
        [f"hydra.searchpath=['file://{own}']"],
    ):
        check_options([*words, "model=mine", "+teacher=[wide,resnet18]", "model=resnet,mine"])
        assert option_folders(words)[1:] == [own]
    for words in ([], ["hydra.searchpath=[pkg://nowhere.at_all]"], ["--config-dir=/nowhere"]):
        with pytest.raises(ConfigError, match="There is no model=mine; there are: alexnet"):
            check_options([*words, "model=mine"])


def test_a_search_path_with_spaces(own):
    folder = own.rename(own.with_name("my (own) conf"))
    assert option_folders([f"hydra.searchpath=['file://{folder}','{own}']"])[1:] == [folder, own]
    assert option_folders(["hydra.searchpath=[", "hydra.searchpath=[x://y]"])[1:] == []


def test_help_lists_options_of_ones_own(own, capsys):
    (own / "colours").mkdir()
    (own / "colours" / "warm.yaml").write_text("a: 1\n")
    with pytest.raises(SystemExit):
        command_line.expand(["--help", f"--config-dir={own}"])
    said = capsys.readouterr().out
    assert ", mine, mnasnet, " in said and said.isascii()
    assert re.search(r"^  colours +warm$", said, re.MULTILINE)


def test_flags_stand_before_all_overrides():
    words = ["seed=1", "--config-dir", "x", "trainer=cpu", "-m", "--package=p", "data.root=a"]
    flags = ["--config-dir", "x", "-m", "--package=p"]
    assert command_line.expand(words) == [*flags, "seed=1", "trainer=cpu", "data.root=a"]


def test_a_resume_names_the_folder_again(homes, own):
    run = homes / "unfinished"
    (run / ".hydra").mkdir(parents=True)
    (run / ".hydra" / "overrides.yaml").write_text("[model=mine]")
    source = {"path": str(own), "schema": "file", "provider": "command-line"}
    hydra = {"hydra": {"runtime": {"config_sources": [source]}}}
    (run / ".hydra" / "hydra.yaml").write_text(json.dumps(hydra))
    with pytest.raises(ConfigError, match=f"was started with --config-dir={own}; give that again"):
        command_line.expand([f"resume={run}"])
    found = command_line.expand([f"resume={run}", f"--config-dir={own}"])
    assert found[:2] == [f"--config-dir={own}", "model=mine"]
