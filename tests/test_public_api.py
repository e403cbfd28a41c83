"""The public names: all there, loaded when asked for, and typed for the user's own mypy."""

import importlib
import json
import re
import subprocess
import sys
from importlib.util import find_spec

import pytest

from tests.conftest import ROOT

PACKAGES = ("compression", "datamodules", "lightning_modules")
HEAVY = ("torch", "pytorch_lightning", "hydra", "torchvision", "timm", "onnxruntime")
STATED = {
    "compression": {
        "CP", "CompressionError", "Prune", "PruneLayers", "Quantize", "QuantizeAware", "SVD",
        "SpatialSVD", "Tucker", "compress", "count_macs",
    },
    "lightning_modules": {"Classifier", "Distiller", "build_network", "load_network"},
}  # fmt: skip
IMPORTED = """
import json, sys
names = {package: __import__(package).__all__ for package in sys.argv[1:]}
print(json.dumps([names, sorted(sys.modules)]))
"""
USER = """\
import torch

from compression import CompressionError, Prune, Tucker, compress, count_macs
from lightning_modules import Classifier, Distiller, build_network, load_network

network = load_network("outputs/run")
smaller, recipe = compress(network, [Prune(), Tucker()], sample=torch.zeros(1))
reveal_type(network)
reveal_type(smaller)
reveal_type(recipe)
reveal_type(count_macs(smaller, 64))
reveal_type(build_network)
reveal_type(Classifier)
reveal_type(Distiller)
reveal_type(CompressionError())
"""
NETWORK = r"lightning_modules\.networks\.network\.Network"
REVEALED = [
    NETWORK,
    r"torch\.nn\.modules\.module\.Module",
    r"compression\.recipe\.Recipe",
    r"(builtins\.)?int",
    rf"def \(.*\) -> {NETWORK}",
    r"def \(network: .*\) -> lightning_modules\.training\.classifier\.Classifier",
    r"def \(network: .*\) -> lightning_modules\.distillation\.distiller\.Distiller",
    r"compression\.errors\.CompressionError",
]


def test_names_are_there_and_loaded_when_asked_for():
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED, *PACKAGES], cwd=ROOT, check=True, capture_output=True
    )
    names, modules = json.loads(done.stdout)
    assert not {module.partition(".")[0] for module in modules} & set(HEAVY)
    for package in PACKAGES:
        assert names[package] == sorted(set(names[package])), package
        assert STATED.get(package, set()) <= set(names[package])
        for name in names[package]:
            assert getattr(importlib.import_module(package), name) is not None
            assert name in dir(importlib.import_module(package))


def test_a_name_that_is_not_there():
    for package in PACKAGES:
        with pytest.raises(AttributeError, match="nowhere"):
            _ = importlib.import_module(package).nowhere


def test_packages_are_marked_as_typed():
    for package in PACKAGES:
        assert (ROOT / package / "py.typed").is_file(), package


@pytest.mark.slow
@pytest.mark.skipif(find_spec("mypy") is None, reason="needs the extra [dev]")
def test_a_users_file_sees_real_types(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(USER)
    words = ["-m", "mypy", "--strict", "--config-file=", f"--cache-dir={tmp_path}/cache"]
    words += ["--follow-imports=silent", "--ignore-missing-imports", str(file)]
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True)
    said = re.findall(rf'{file}:\d+: note: Revealed type is "(.*)"', done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(said) == len(REVEALED)
    for found, expected in zip(said, REVEALED, strict=True):
        assert re.fullmatch(expected, found), (found, expected)
