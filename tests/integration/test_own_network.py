"""A network of one's own, from its file beside the photographs to an exported one: docs/."""

import os
import re
import shlex
import subprocess
import sys

import pytest
import torch

from lightning_modules.config import command_line
from lightning_modules.config.check import check
from lightning_modules.config.composing import fresh_config
from lightning_modules.networks import build_network
from lightning_modules.training.first_step import untrained_parameters
from tests.conftest import ROOT, draw_folder
from tests.fixtures.cases.networks import NETWORKS

TEXT = (ROOT / "docs" / "your_own_network.md").read_text()
(CODE,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
(OPTION,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
COMMANDS = re.findall(r"^python (run\.py|scripts/describe\.py) (.*)$", TEXT, re.MULTILINE)
PIXELS = re.findall(r"^\| [^|]+ \| `(model\..*|'model\..*)` \|$", TEXT, re.MULTILINE)
SMALL = [
    "data.image_size=32", "data.batch_size=12", "trainer.max_epochs=1", "logger=none",
    "pictures=false", "report=false", "trainer.memory_format=contiguous",
]  # fmt: skip


@pytest.fixture
def beside(tmp_path, monkeypatch, homes):
    """The current directory, with the documented network and photographs."""
    (tmp_path / "my_net.py").write_text(CODE)
    draw_folder(tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    sys.modules.pop("my_net", None)


def test_the_documented_network_is_built_and_trains(beside):
    assert len(COMMANDS) == 2
    for _, words in COMMANDS:
        typed = [word for word in shlex.split(words) if not word.startswith("support=")]
        command_line.expand(typed)
        cfg = fresh_config(typed)
        check(cfg)
        network = build_network(cfg.model, num_classes=3, image_size=32)
        assert network.body.features[0].out_channels == (16 if "model.width=16" in typed else 32)
        assert network.body.head.out_features == 3
        assert untrained_parameters(network) == []


@pytest.mark.parametrize("words", PIXELS)
def test_the_documented_pixels(beside, words):
    typed = ["model._target_=my_net.Net", *shlex.split(words)]
    cfg = fresh_config(typed)
    check(cfg)
    network = build_network(cfg.model, num_classes=3, image_size=32)
    white = network.pixels(torch.full((1, 3, 32, 32), 255, dtype=torch.uint8))
    highest = 255 if "normalize=false model.scale=255" in words else 2.7
    assert highest / 3 < white.max() <= highest
    assert network.pixels.resize_to == ((224, 224) if "input_size" in words else None)


def test_the_documented_option_file(beside):
    (beside / "my_conf" / "model").mkdir(parents=True)
    (beside / "my_conf" / "model" / "mine.yaml").write_text(OPTION)
    cfg = fresh_config(["model=mine", "hydra.searchpath=[file://my_conf]"])
    network = build_network(cfg.model, num_classes=3, image_size=32)
    assert (cfg.model.name, network.body.features[0].out_channels) == ("mine", 16)


def test_the_table_has_every_kind():
    table = TEXT.partition("## Kinds of networks")[2]
    kinds = [row.split(" | ")[0] for row in table.splitlines() if row.startswith("| `")]
    named = [name for kind in kinds for name in re.findall(r"`(\w+)`", kind)]
    assert sorted(named) == sorted(NETWORKS)


@pytest.mark.slow
def test_the_commands_work_as_they_are_printed(beside):
    def typed(*words):
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        program, *rest = words
        command = [sys.executable, str(ROOT / program), *rest]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout

    def printed(text):
        """The words of the command that a run prints at its end."""
        return shlex.split(re.search(r"^next +python (.*)$", text, re.MULTILINE)[1])

    first = typed(*shlex.split(" ".join(COMMANDS[0])), *SMALL)
    run = re.search(r"^results +(.*)$", first, re.MULTILINE)[1]
    assert run.endswith("_Net_image_folder")
    following = printed(first)
    assert following[1:] == ["+compression=tucker", f"from_run={run}", "trust=[my_net]"]
    second = typed(*following, *SMALL[2:], "latency.backend=null")
    assert printed(second)[2:] == ["trust=[my_net]"]
    assert "green" in typed(*printed(second))
    typed("scripts/describe.py", run, "trust=[my_net]")
    assert "100.00%" in typed("scripts/export.py", run, "trust=[my_net]")
