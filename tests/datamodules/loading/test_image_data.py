from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from PIL import ImageEnhance

from datamodules.augmentation.recipe import Recipe
from datamodules.decoding.decoding import decode_crops
from datamodules.errors import DataError
from datamodules.loading.image_data import ImageData
from datamodules.sources.image_folder import ImageFolder
from datamodules.splits.splits import Splits
from tests.conftest import ROOT
from tests.datamodules.audit.conftest import scene
from tests.datamodules.roboflow import photograph, write_roboflow

CONF = ROOT / "conf"
LABELLED = ("train", "val", "test")


@pytest.fixture
def make_data(make_folder, tmp_path):
    def make(root=None, **changes) -> ImageData:
        root = root or (tmp_path / "images" if (tmp_path / "images").exists() else make_folder())
        settings = {
            "source": ImageFolder(root=str(root)),
            "augmentation": Recipe(image_size=[8, 12], crop_scale=[0.3, 1.0]),
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


def test_a_class_sampler_that_fails_is_refused_with_the_data(make_data):
    with pytest.raises(
        DataError, match="The class sampler .*<lambda> gives .1.0. for the counts .6, 5."
    ):
        make_data(sampling=lambda counts: [1.0])


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
        (expected,) = decode_crops(item.path, [None], size=(8, 12), resize_mode="stretch")
        assert np.array_equal(image.numpy().transpose(1, 2, 0), expected)


def test_training_images_are_augmented_by_epoch_and_index(make_data):
    data = make_data(seed=5)
    loader = data.train_dataloader()
    loader.sampler.set_epoch(2)
    (image, *_), _ = next(iter(loader))
    epoch, index = next(iter(loader.sampler))[0]
    item = data.source.read().splits["train"][index]
    (cached,) = decode_crops(item.path, [None], size=(10, 15), resize_mode="stretch")
    expected = data.augmentation(cached, epoch, index)
    assert epoch == 2 and np.array_equal(image.numpy().transpose(1, 2, 0), expected)


def test_no_spare_pixels_without_random_crops(make_data, tmp_path):
    make_data(augmentation=Recipe(image_size=[8, 12]))
    assert sorted(p.name[:10] for p in (tmp_path / "cache").glob("*_8x12_*/")) == [
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
    data = make_data(augmentation=Recipe(image_size=[8, 12]))
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


LARGER = {"image_size": [32, 48], "augmentation": Recipe(image_size=[32, 48])}


def _leaking(make_folder):
    """A folder whose validation split has a copy of a training image."""
    root = make_folder()
    for number, path in enumerate(sorted(root.rglob("*.png"))):
        scene(number).save(path)
    scene(1).save(root / "val" / "can" / "copy.png")
    return root


def test_leakage_is_said_once(make_data, make_folder, caplog):
    command = "python scripts/audit_data.py data=x"
    data = make_data(_leaking(make_folder), **LARGER, audit_command=command)
    data.prepare_data()  # as Lightning does before each fit
    (record,) = caplog.records
    assert record.getMessage().startswith("1 of 5 val images is all but equal to train images")
    assert record.getMessage().endswith(f"see all with: {command}")


@pytest.mark.parametrize("changes", [{"splits": Splits(train_on_all=True)}, {"cache": False}])
def test_leakage_is_not_looked_for(make_data, make_folder, changes, caplog):
    make_data(_leaking(make_folder), **LARGER, **changes)
    assert "all but equal" not in caplog.text


def test_folds_have_their_own_leakage(make_data, make_folder, caplog):
    root, said = _leaking(make_folder), []
    for fold in range(3):
        caplog.clear()
        splits = Splits(num_folds=3, fold=fold, groups="none")
        data = make_data(root, **LARGER, splits=splits)
        copies = {"train/box/0001.png", "val/can/copy.png"}
        apart = len(copies & {item.group for item in data.items("val")}) == 1
        assert ("all but equal" in caplog.text) == apart
        said.append(apart)
    assert any(said)
    caplog.clear()
    for fold in range(3):  # copies stay together
        make_data(root, **LARGER, splits=Splits(num_folds=3, fold=fold))
    assert "all but equal" not in caplog.text


def test_test_split(make_data, make_folder, tmp_path):
    classes = {"a": 1, "b": 1}
    root = make_folder({"train": classes, "val": classes, "test": classes}, root=tmp_path / "three")
    data = make_data(root)
    assert data.has_test and len(list(data.test_dataloader())) == 1
    with pytest.raises(DataError, match="no test split"):
        make_data(make_folder()).test_dataloader()


@pytest.mark.parametrize(
    ("changes", "word"),
    [({"resize_mode": "squash"}, "stretch, pad, crop"),
     ({"num_workers": "many"}, "num_workers=many"),
     ({"image_size": 0}, "image_size=0")],
)  # fmt: skip
def test_wrong_settings(make_data, changes, word):
    with pytest.raises(DataError, match=word):
        make_data(**changes)


@pytest.fixture
def configured(compose_config, homes):
    """The data module that options and overrides describe."""

    def make(*overrides: str) -> ImageData:
        from lightning_modules.runs.data import make_data

        return make_data(compose_config(*overrides))

    return make


@pytest.mark.parametrize("augment", sorted(p.stem for p in (CONF / "augment").glob("*.yaml")))
def test_every_recipe_makes_batches(make_folder, configured, augment):
    data = configured(
        "data=image_folder", f"data.root={make_folder()}", f"augment={augment}",
        "data.image_size=[16,24]",
    )  # fmt: skip
    data.prepare_data()
    (images, labels), *_ = data.train_dataloader()
    assert images.shape == (11, 3, 16, 24) and len(labels) == 11


def test_synthetic_from_its_file(configured):
    data = configured("data=synthetic", "augment=none", "data.source.scenes=24")
    data.prepare_data()
    assert data.num_classes == 6 and data.has_test
    assert next(iter(data.val_dataloader()))[0].shape[1:] == (3, 64, 64)


def test_taco_says_how_to_get_it(configured):
    said = r"annotations.json does not exist.*python scripts/download.py taco root="
    with pytest.raises(DataError, match=said):
        configured("data=taco").source.check()


def test_folds_share_their_caches(make_data, make_folder, tmp_path):
    root = make_folder({"train": {"can": 9, "box": 9}, "val": {"can": 3, "box": 3}})
    validated = []
    for fold in range(3):
        data = make_data(root, splits=Splits(fold=fold, num_folds=3))
        assert data.class_counts == {"train": [8, 8], "val": [4, 4]}
        for split, size in (("train", (10, 15)), ("val", (8, 12))):
            for item, number in zip(data.items(split), range(16), strict=False):
                (expected,) = decode_crops(item.path, [None], size=size, resize_mode="stretch")
                assert np.array_equal(data.pixels(split)[number], expected)
        validated += data.items("val")
        assert _equal(_epochs(data), _epochs(make_data(root, cache=False, splits=data.splits)))
    assert len(set(validated)) == len(validated) == 24
    folders = {path.name[:11] for path in (tmp_path / "cache").glob("*_pixels_*/")}
    assert folders == {"folds_10x15", "folds_8x12_"}


def test_unlabelled_images_are_predicted_on(make_data, make_folder):
    root = make_folder()
    for split in ("val", "test"):
        (root / split).mkdir(exist_ok=True)
    for number, path in enumerate(sorted((root / "val").rglob("*.png"))):
        (root / "test" / f"{number}.png").write_bytes(path.read_bytes())
    data = make_data(root)
    assert not data.has_test and set(data.class_counts) == {"train", "val"}
    predicted = torch.cat([images for images, _ in data.predict_dataloader()])
    known = torch.cat([images for images, _ in data.val_dataloader()])
    assert torch.equal(predicted, known)
    assert all((labels == -1).all() for _, labels in data.predict_dataloader())
    (root / "test").rename(root.parent / "elsewhere")
    with pytest.raises(DataError, match="no unlabelled images"):
        make_data(root).predict_dataloader()


def test_rare_classes_come_more_often(make_data, make_folder):
    root = make_folder({"train": {"can": 4, "box": 36}, "val": {"can": 1, "box": 1}})
    natural = make_data(root, batch_size=40)
    balanced = make_data(root, batch_size=40, sampling="balanced")
    ((_, labels),) = natural.train_dataloader()
    assert labels.sum() == 4  # box is class 0
    ((images, labels),) = balanced.train_dataloader()
    assert labels.sum() == 20
    assert len(images[labels == 1].unique(dim=0)) >= 18, "repeated images are augmented anew"
    assert _equal(_epochs(balanced), _epochs(make_data(root, batch_size=40, sampling="balanced")))


def test_views_are_repeated_and_say_their_keys(make_data):
    data = make_data()
    plain = _epochs(data, 2)
    data.augmentation_repeats = 2
    loader, images = data.train_dataloader(), {}
    for epoch in range(4):
        loader.sampler.set_epoch(epoch)
        for number, (batch, labels, keys) in enumerate(loader):
            assert keys.dtype == np.int64 and keys.shape == (len(batch), 2)
            if epoch < 2:
                assert torch.equal(batch, plain[2 * epoch + number][0])
            for image, label, (repeat, index) in zip(batch, labels, keys.tolist(), strict=True):
                assert repeat == epoch % 2 and data.items("train")[index].label == label
                assert torch.equal(images.setdefault((repeat, index), image), image)
    assert len(next(iter(data.val_dataloader()))) == 2
    assert len(next(data.train_eval_batches())) == 2


def test_repeat_batches_are_the_repeats_in_order_in_full_batches(make_data):
    data = make_data()
    data.augmentation_repeats = 2
    batches = list(data.repeat_batches(1))
    assert [len(images) for images, *_ in batches] == [4, 4, 4]
    keys = np.concatenate([keys for *_, keys in batches])
    assert keys.tolist() == [[1, index % 11] for index in range(12)]
    shown = {index: image for batch in batches for index, image in _by_index(batch)}
    loader = data.train_dataloader()
    loader.sampler.set_epoch(3)
    for batch in loader:
        assert all(torch.equal(shown[index], image) for index, image in _by_index(batch))
    (small,) = make_data(batch_size=50).repeat_batches(0)
    assert len(small[0]) == 11


def _by_index(batch):
    images, _, keys = batch
    return zip(keys[:, 1].tolist(), images, strict=True)


def test_the_key_follows_the_images(make_data, tmp_path):
    data = make_data()
    key = data.key("train")
    assert make_data().key("train") == key != data.key("val")
    assert make_data(image_size=[8, 14]).key("train") != key
    folds = [make_data(splits=Splits(fold=n, num_folds=2)) for n in (0, 1)]
    assert folds[0].key("train") != folds[1].key("train")


SMALL = {"image_size": [16, 16], "augmentation": Recipe(image_size=[16, 16])}


def test_no_photograph_has_versions_on_two_sides(make_data, tmp_path, caplog):
    write_roboflow(tmp_path / "export", {"": 40})
    data = make_data(tmp_path / "export", **SMALL)
    sides = [Counter(photograph(item.group) for item in data.items(name)) for name in LABELLED]
    assert all(set(side.values()) == {3} for side in sides), "all versions of each"
    assert sum(map(len, sides)) == len(set().union(*sides)) == 120
    for counts, right in zip(data.class_counts.values(), (84, 18, 18), strict=True):
        assert counts == [right] * 3
    assert "versions of" not in caplog.text
    for fold in range(2):
        data = make_data(tmp_path / "export", **SMALL, splits=Splits(num_folds=3, fold=fold))
        sides = [{photograph(item.group) for item in data.items(name)} for name in LABELLED]
        assert not sides[0] & sides[1]


def test_folders_of_an_export_stay_as_they_are(make_data, tmp_path, caplog):
    root = tmp_path / "export"
    write_roboflow(root, {"train": 10, "valid": 4, "test": 3})
    # The user's own mistake: a version of a photograph that is trained on.
    image = min((root / "train" / "cup").iterdir())
    image.rename(root / "valid" / "cup" / image.name)
    data = make_data(root, **SMALL)
    for split, folder in (("train", "train"), ("val", "valid"), ("test", "test")):
        files = {str(path) for path in (root / folder).rglob("*.jpg")}
        assert {item.path for item in data.items(split)} == files
    assert "1 of 37 val images is versions of train images, or all but equal to them" in caplog.text


def test_copies_that_look_alike_stay_on_one_side(make_data, tmp_path):
    folder = tmp_path / "photos" / "can"
    for label in ("can", "cup"):
        (tmp_path / "photos" / label).mkdir(parents=True)
    for n in range(30):
        scene(n).save(tmp_path / "photos" / ("can", "cup")[n % 2] / f"{n:03d}.png")
        ImageEnhance.Brightness(scene(n)).enhance(1.1).save(folder / f"other{n:03d}.jpg")
    data = make_data(tmp_path / "photos", **SMALL)
    side = {Path(item.group).stem[-3:]: name for name in LABELLED for item in data.items(name)}
    for name in LABELLED:
        assert all(side[Path(item.group).stem[-3:]] == name for item in data.items(name))
    apart = make_data(tmp_path / "photos", **SMALL, splits=Splits(groups="none"))
    assert any(
        side[Path(item.group).stem[-3:]] != name for name in LABELLED for item in apart.items(name)
    )
