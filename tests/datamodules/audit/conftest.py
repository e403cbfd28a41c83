from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datamodules.sources.source import Index, Item


def scene(seed: int, size=(96, 128)) -> Image.Image:
    """A made photograph: soft shapes of random colours with fine texture."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (7, 9, 3), dtype=np.uint8))
    soft = np.asarray(coarse.resize(size[::-1], Image.Resampling.BICUBIC), float)
    pixels = 0.8 * soft + 25 + rng.normal(0, 6, soft.shape)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


@pytest.fixture
def make_index(tmp_path):
    """Writes pictures given as {"split/class/name": image or bytes} and gives their index."""

    def make(files, root: Path | None = None) -> Index:
        root = root or tmp_path / "photos"
        names = sorted({name.split("/")[1] for name in files})
        splits = {}
        for name, content in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                path.write_bytes(content)
            elif isinstance(content, Image.Image):
                content.save(path)
            split, of_class, _ = name.split("/")
            item = Item(str(path), names.index(of_class), None, name)
            splits.setdefault(split, []).append(item)
        return Index(tuple(names), splits)

    return make
