"""The data of a run: a source of one's own; the command in a warning of leakage."""

import numpy as np
from omegaconf import OmegaConf
from PIL import Image

from datamodules.sources import Index, Item
from lightning_modules.config.check import check
from lightning_modules.runs import data as module
from lightning_modules.runs.data import audit_command, make_data


class Gray:
    """Somebody's own source: dark and light files of one folder."""

    def __init__(self, *, root, each):
        self.root, self.each = root, each
        self.is_made = False

    def check(self):
        return ("dark", "light")

    def prepare(self):
        for number in range(2 * self.each):
            pixels = np.full((24, 24, 3), 100 * (number % 2) + number, np.uint8)
            Image.fromarray(pixels).save(f"{self.root}/{number}.png")

    def read(self):
        paths = [f"{self.root}/{number}.png" for number in range(2 * self.each)]
        items = [Item(path, n % 2, None, path) for n, path in enumerate(paths)]
        return Index(self.check(), {"unsplit": items})


def test_a_source_of_ones_own_by_its_target(compose_config, homes):
    source = f"{{_target_: {__name__}.Gray, root: {homes}, each: 20}}"
    cfg = compose_config("data=image_folder", f"data.root={homes}", "~data.source",
                         f"+data.source={source}", "data.image_size=16")  # fmt: skip
    check(cfg)
    data = make_data(cfg)
    data.prepare_data()
    data.setup()
    assert data.class_names == ("dark", "light")
    assert {split: sum(counts) for split, counts in data.class_counts.items()} == {
        "train": 28, "val": 6, "test": 6,
    }  # fmt: skip
    images, labels = next(iter(data.val_dataloader()))
    assert images.shape == (6, 3, 16, 16)
    assert ((images.float().mean(dim=(1, 2, 3)) > 90).long() == labels).all()


class FakeHydra:
    """What a run started by `run.py model=x data=taco ...` knows of its command line."""

    @staticmethod
    def initialized():
        return True

    @staticmethod
    def get():
        words = ["model=x", "++data.root=my images", "data.image_size=[32,40]", "seed=1"]
        return OmegaConf.create(
            {"overrides": {"task": words}, "runtime": {"choices": {"data": "taco"}}}
        )


def test_words_of_a_run(monkeypatch):
    monkeypatch.setattr(module, "HydraConfig", FakeHydra)
    assert audit_command(OmegaConf.create({})) == (
        "python scripts/audit_data.py data=taco '++data.root=my images' 'data.image_size=[32,40]'"
    )


def test_words_of_a_script(compose_config):
    cfg = compose_config("data=image_folder", "data.root=photos")
    assert audit_command(cfg) == "python scripts/audit_data.py data=image_folder data.root=photos"
