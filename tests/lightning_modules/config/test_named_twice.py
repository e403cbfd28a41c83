import subprocess
import sys

import pytest

from lightning_modules.config.named_twice import check_named_once
from lightning_modules.config.options import CONF
from lightning_modules.errors import ConfigError
from tests.conftest import ROOT


def run(*words: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-X", "importtime", "run.py", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_the_way_that_is_named_works(tmp_path):
    """The refusal comes before torch, and the file that it asks for makes a second step."""
    refused = run("+compression=[prune,prune]")
    sentence = refused.stderr.splitlines()[-1]
    assert refused.returncode == 1 and sentence.startswith("error: +compression=[prune,prune]")
    assert "compression.prune.rounds=2" in sentence
    assert not [line for line in refused.stderr.splitlines() if line.endswith("| torch")]
    own = sentence.split("'")[1]
    assert own == "prune_again: {_target_: compression.pruning.prune.Prune}"
    (tmp_path / "compression").mkdir()
    (tmp_path / "compression/prune_again.yaml").write_text(own)
    assert "--config-dir my_conf '+compression=[prune,prune_again]'" in sentence
    chain = ["--config-dir", str(tmp_path), "+compression=[prune,prune_again]"]
    composed = run(
        *chain, "+compression.prune_again.ratio=0.5", "--cfg", "job", "-p", "compression"
    )
    assert composed.stdout.count("_target_: compression.pruning.prune.Prune") == 2
    assert "prune_again:" in composed.stdout and "ratio: 0.5" in composed.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["+compression=[tucker,svd,tucker]"], "names tucker twice.*tucker_again.yaml"),
        (["+compression=[quantize,quantize]"], "names quantize twice.*; name it once"),
        (["+teacher=[original,original]"], "names original twice.*; name it once"),
        (["-m", "+compression=[prune],[svd, svd]"], "names svd twice"),
    ],
)
def test_lists_name_an_option_once(words, says):
    with pytest.raises(ConfigError, match=says):
        check_named_once(words, [CONF])


@pytest.mark.parametrize(
    "words",
    [
        ["+compression=[prune,svd]"],
        ["-m", "model=resnet,resnet"],
        ["-m", "+compression=[prune],[prune,svd]"],
        ["compression.prune_layers.keep=[2,2,2]"],
    ],
)
def test_others_pass(words):
    check_named_once(words, [CONF])
