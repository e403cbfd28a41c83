"""What a run leaves: a network without a word of this machine, metrics that are documented."""

import json
import platform
import re
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from lightning_modules.networks import load_network
from lightning_modules.runs import read_metrics
from tests.conftest import ROOT, needs_extra, run_command
from tests.lightning_modules.runs.documented import undocumented

pytestmark = pytest.mark.slow  # a run with two steps comes first

PERSON = "somebody-who-trained-it"
WORDS = [
    "model=shufflenet_g3", "model.units=[1,1,1]", "model.width=0.08", "model.groups=2",
    "data=synthetic", "data.image_size=32", "data.source.scenes=40", "data.batch_size=16",
    "data.source.image_size=[96,128]", "data.fold=0", "data.num_folds=3", "trainer=cpu",
    "trainer.max_epochs=1", "logger=none", "pictures=false", "report=false", "debug=fast",
    "+compression=[prune,quantize]", "+teacher=original", "compression.prune.target=null",
    "compression.prune.ratio=0.2", "compression.quantize.max_f1_drop=null",
    "compression.quantize.images=16",
]  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A float and an int8 network, trained by a person with a name."""
    home = tmp_path_factory.mktemp(PERSON)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("OUTPUTS", "CACHE", "DATA"):
            patch.setenv(f"MODEL_DIET_{name}", str(home / name.lower()))
        for name in ("USER", "LOGNAME"):
            patch.setenv(name, PERSON)
        run_command("run.py", *WORDS, f"hydra.run.dir={home / 'run'}", cold=True)
    return home / "run"


def assert_nothing_of_the_machine(files):
    """Neither its folders, nor its name, nor that of the person."""
    words = [PERSON, str(ROOT), sys.prefix, str(Path.home()), platform.node()]
    words += [f"/{path.name}/" for path in Path("/").iterdir() if path.is_dir()]
    words = [word.encode() for word in words if len(word) > 4]
    for path in files:
        content = path.read_bytes()
        assert not [word for word in words if word in content], path
        if path.suffix in (".yaml", ".json"):
            assert not re.search(r"""(?m)(^|[\s:'"])[/~][\w.-]+/""", content.decode()), path


def test_a_shipped_network_tells_nothing_of_the_machine(run):
    folders = [run / "model", *run.glob("steps/*/model")]
    files = [path for folder in folders for path in folder.iterdir()]
    names = {path.name for path in files}
    assert {"network.int8.onnx", "weights.safetensors", "network.yaml", "recipe.json"} <= names
    assert_nothing_of_the_machine(files)


@pytest.mark.parametrize(
    "words",
    [
        ["format=onnx"],
        pytest.param(["format=onnx", "int8=false"], marks=pytest.mark.slow),
        pytest.param(["format=torch_export", "int8=false"], marks=pytest.mark.slow),
        pytest.param(
            ["format=openvino", "int8=false"], marks=[pytest.mark.slow, needs_extra("openvino")]
        ),
        pytest.param(
            ["format=executorch", "int8=false"],
            marks=[pytest.mark.slow, needs_extra("executorch")],
        ),
    ],
    ids=" ".join,
)
def test_an_exported_file_tells_nothing_of_the_machine(run, words):
    shutil.rmtree(run / "export", ignore_errors=True)
    run_command("scripts/export.py", str(run), *words)
    files = list((run / "export").iterdir())
    assert len(files) > 1
    assert_nothing_of_the_machine(files)


def test_the_data_is_recognised_all_the_same(run):
    data = yaml.safe_load((run / "model" / "network.yaml").read_text())["extra"]["data"]
    assert data["name"] == "synthetic" and data["source"]["root"].startswith("path sha256 ")
    assert load_network(run).class_names is not None


def test_every_metric_is_documented(run):
    metrics = read_metrics(run)
    assert not undocumented(metrics)
    assert {"val/agreement/original", "cost/latency_iqr_ms", "fold", "latency"} <= metrics.keys()
    assert json.loads((run / "metrics.json").read_text())["schema"] == 1
