from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from datamodules.augmentation import Albumentations
from datamodules.decoding import decode_crops
from datamodules.errors import DataError
from datamodules.image_data import ImageData
from datamodules.sampling import sample_seed
from datamodules.sources.image_folder import ImageFolder

CONF = Path(__file__).resolve().parents[2] / "conf"


@pytest.fixture
def make_data(make_folder, tmp_path):
    def make(root=None, **changes) -> ImageData:
        root = root or (tmp_path / "images" if (tmp_path / "images").exists() else make_folder())
        settings = {
            "source": ImageFolder(root=str(root)),
            "augmentation": Albumentations(image_size=[8, 12], crop_scale=[0.3, 1.0]),
            "image_size": [8, 12],
            "batch_size": 4,
            "eval_batch_size": 3,
            "num_workers": 0,
            "cache_dir": str(tmp_path / "cache"),
        }
        data = ImageData(**{**settings, **changes})
        data.prepare_data()
        data.setup()
        return data

    return make


def _epochs(data: ImageData, epochs: int = 2) -> list[tuple[torch.Tensor, torch.Tensor]]:
    loader = data.train_dataloader()
    batches = []
    for epoch in range(epochs):
        loader.sampler.set_epoch(epoch)
        batches += list(loader)
    return batches


def _equal(first: list, second: list) -> bool:
    pairs = zip(first, second, strict=True)
    return all(torch.equal(a, b) for one, two in pairs for a, b in zip(one, two, strict=True))


def test_batches_and_properties(make_data):
    data = make_data()
    assert data.class_names == ("box", "can") and data.num_classes == 2
    assert data.image_size == (8, 12) and not data.has_test
    assert data.class_counts == {"train": [6, 5], "val": [2, 2]}
    for images, labels in data.train_dataloader():
        assert images.shape == (4, 3, 8, 12) and images.dtype == torch.uint8
        assert images.is_contiguous() and labels.dtype == torch.int64
    assert len(data.train_dataloader()) == 2
    assert [len(labels) for _, labels in data.val_dataloader()] == [3, 1]
    assert isinstance(next(iter(data.val_dataloader())), tuple)


def test_evaluation_images_are_resized_once(make_data):
    data = make_data()
    items = data.source.read().splits["val"]
    images = torch.cat([images for images, _ in data.val_dataloader()])
    for item, image in zip(items, images, strict=True):
        (expected,) = decode_crops(item.path, [None], size=(8, 12), fit="stretch")
        assert np.array_equal(image.numpy().transpose(1, 2, 0), expected)


def test_training_images_are_augmented_by_seed_epoch_and_index(make_data):
    data = make_data(seed=5)
    loader = data.train_dataloader()
    loader.sampler.set_epoch(2)
    (image, *_), _ = next(iter(loader))
    epoch, index = next(iter(loader.sampler))[0]
    item = data.source.read().splits["train"][index]
    (cached,) = decode_crops(item.path, [None], size=(10, 15), fit="stretch")
    expected = data.augmentation(cached, sample_seed(5, epoch, index))
    assert epoch == 2 and np.array_equal(image.numpy().transpose(1, 2, 0), expected)


def test_no_spare_pixels_without_random_crops(make_data, tmp_path):
    make_data(augmentation=Albumentations(image_size=[8, 12]))
    assert sorted(p.name[:10] for p in (tmp_path / "cache").glob("*/")) == [
        "train_8x12",
        "val_8x12_p",
    ]


@pytest.mark.parametrize("changes", [{"num_workers": 2}, {"cache": False}])
def test_bit_identical_batches(make_data, changes):
    first, second = make_data(), make_data(**changes)
    assert _equal(_epochs(first), _epochs(second))
    assert _equal(list(first.val_dataloader()), list(second.val_dataloader()))


def test_seed_and_epoch_change_the_batches(make_data):
    batches = _epochs(make_data())
    assert not _equal(batches[:2], batches[2:])
    assert not _equal(_epochs(make_data(seed=1)), batches)


def test_iterating_draws_nothing_from_torch(make_data):
    data = make_data()
    state = torch.get_rng_state()
    _epochs(data)
    assert torch.equal(torch.get_rng_state(), state)


def test_train_eval_batches_are_fixed_and_plain(make_data):
    data = make_data(augmentation=Albumentations(image_size=[8, 12]))
    first = list(data.train_eval_batches())
    assert _equal(first, list(data.train_eval_batches())) and len(first) == 2
    assert _equal(first, _epochs(data, 1))
    assert len(torch.cat([labels for _, labels in first]).unique()) == 2


def test_lightning_sets_the_epoch(make_data):
    class Recorder(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(()))
            self.seen = []

        def training_step(self, batch, _):
            self.seen.append(batch)
            return self.weight * 1.0

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    data, recorder = make_data(), Recorder()
    silent = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=2, enable_model_summary=False, limit_val_batches=0, **silent
    )
    trainer.fit(recorder, datamodule=data)
    assert _equal(recorder.seen, _epochs(make_data()))


def test_bad_images_up_to_a_number(make_data, make_folder, caplog):
    root = make_folder()
    bad = root / "train" / "box" / "0002.png"
    bad.write_bytes(bad.read_bytes()[:100])
    with pytest.raises(DataError, match=r"1 images cannot be used.*0002.png cannot be decoded"):
        make_data(root)
    cached, decoded = (
        make_data(root, max_bad_images=1),
        make_data(root, max_bad_images=1, cache=False),
    )
    assert cached.class_counts["train"] == [5, 5]
    assert "0002.png cannot be decoded" in caplog.text
    assert _equal(_epochs(cached), _epochs(decoded))


def test_test_split(make_data, make_folder, tmp_path):
    classes = {"a": 1, "b": 1}
    root = make_folder({"train": classes, "val": classes, "test": classes}, root=tmp_path / "three")
    data = make_data(root)
    assert data.has_test and len(list(data.test_dataloader())) == 1
    with pytest.raises(DataError, match="no test split"):
        make_data(make_folder()).test_dataloader()


@pytest.mark.parametrize(
    ("changes", "word"),
    [({"fit": "squash"}, "stretch, pad, crop"), ({"num_workers": "many"}, "num_workers=many"),
     ({"image_size": 0}, "image_size=0")],
)  # fmt: skip
def test_wrong_settings(make_data, changes, word):
    with pytest.raises(DataError, match=word):
        make_data(**changes)


def _compose(data: str, augment: str, root: Path):
    files = {
        "data": CONF / "data" / f"{data}.yaml",
        "augment": CONF / "augment" / f"{augment}.yaml",
    }
    cfg = OmegaConf.create({group: OmegaConf.load(file) for group, file in files.items()})
    cfg.data.root = str(root)
    return cfg


def _built(cfg, tmp_path) -> ImageData:
    settings = OmegaConf.to_container(cfg.data, resolve=True)
    settings = {k: v for k, v in settings.items() if k not in ("name", "root", "source")}
    source, augmentation = (
        instantiate(node, _convert_="all") for node in (cfg.data.source, cfg.augment)
    )
    return ImageData(
        source=source, augmentation=augmentation, cache_dir=str(tmp_path / "cache"), **settings
    )


@pytest.mark.parametrize("augment", sorted(p.stem for p in (CONF / "augment").glob("*.yaml")))
def test_every_recipe_makes_batches(make_folder, tmp_path, augment):
    cfg = _compose("image_folder", augment, make_folder())
    cfg.data.image_size = [16, 24]
    data = _built(cfg, tmp_path)
    data.prepare_data()
    (images, labels), *_ = data.train_dataloader()
    assert images.shape == (11, 3, 16, 24) and len(labels) == 11


def test_synthetic_from_its_file(tmp_path):
    cfg = _compose("synthetic", "none", tmp_path)
    cfg.data.source.scenes = 24
    data = _built(cfg, tmp_path)
    data.prepare_data()
    assert data.num_classes == 6 and data.has_test
    assert next(iter(data.val_dataloader()))[0].shape[1:] == (3, 64, 64)


def test_taco_says_how_to_get_it(tmp_path):
    with pytest.raises(DataError, match=r"annotations.json does not exist.*download.py"):
        _built(_compose("taco", "none", tmp_path), tmp_path).source.check()


@pytest.mark.parametrize("file", sorted(CONF.glob("data/*.yaml")) + sorted(CONF.glob("augment/*")))
def test_every_key_has_a_comment(file):
    first, *lines = file.read_text().splitlines()
    assert first.startswith("# python run.py")
    for before, line in zip([first, *lines], lines, strict=False):
        explained = "#" in line or before.strip().startswith("#")
        assert explained or line.endswith(":") or "_target_" in line, line
