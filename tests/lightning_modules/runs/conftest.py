"""A run as far as its data is concerned: configured and split, though nothing was trained."""

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image

from lightning_modules.registry import build
from lightning_modules.runs.run_splits import RunSplits


def draw(root, names, *, colour=0):
    """Images of these names below a folder, of one colour each and unlike the others."""
    for number, name in enumerate(names, start=colour):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8, 3), number % 251, np.uint8)).save(path)
    return root


def class_folders(root, each=12, classes=("cat", "dog", "owl"), first=0, colour=0):
    """Class folders without folders of splits."""
    names = [f"{c}/{n:03}.png" for n in range(first, first + each) for c in classes]
    return draw(root, names, colour=colour)


@pytest.fixture
def photos(tmp_path):
    """36 images of three classes, to be shared out."""
    return class_folders(tmp_path / "photos")


@pytest.fixture
def words(photos):
    return ["data=image_folder", f"data.root={photos}", "data.image_size=16"]


@pytest.fixture
def make_run(homes, compose_config, words):
    """Configures and splits a run; returns its directory and its index."""

    def made(*more, name="run", study=None):
        cfg = compose_config(*words, *more)
        folder = homes / name
        (folder / ".hydra").mkdir(parents=True)
        OmegaConf.save(cfg, folder / ".hydra" / "config.yaml")
        index = RunSplits(cfg, folder, study).apply(build(cfg.data.source).read(), write=True)
        return folder, index

    return made


def members(index):
    """Split -> its images by name."""
    return {split: {item.group for item in items} for split, items in index.splits.items()}
