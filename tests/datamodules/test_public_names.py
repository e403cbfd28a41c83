"""What a library user imports: all names of the stubs are there, and loaded when they are used."""

import importlib
import pkgutil
import subprocess
import sys

import pytest

import datamodules
from tests.conftest import ROOT

FOUND = [module for module in pkgutil.iter_modules(datamodules.__path__) if module.ispkg]
ROOMS = ["datamodules", *(f"datamodules.{module.name}" for module in FOUND)]


@pytest.mark.parametrize("room", ROOMS)
def test_every_name_of_a_stub_is_there(room):
    module = importlib.import_module(room)
    assert module.__all__ and module.__doc__
    submodules = {found.name for found in pkgutil.iter_modules(module.__path__)}
    assert not submodules & set(module.__all__)  # which of the two would be found is chance
    for name in module.__all__:
        assert getattr(module, name) is not None
    assert set(module.__all__) <= set(dir(module))


def test_sources_and_splits_load_no_torch():
    program = (
        "import sys\n"
        "from datamodules import Cifar, Coco, DataError, ImageFolder, Splits, Synthetic\n"
        "from datamodules.loading import SAMPLERS\n"
        "assert not {'torch', 'cv2', 'albumentations', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)
