"""`scripts/show_batch.py`: its picture shows the pixels that training gets."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules.contact_sheets.page import MARGIN
from lightning_modules.runs import RunSplits, saved_config
from lightning_modules.runs.data import make_data
from scripts import show_batch

SIDE = 192


def _shown(path, size=32):
    """The first row's pictures in their own size, without the title above them."""
    pixels = np.asarray(Image.open(path))
    factor = SIDE // size
    rows = np.flatnonzero((pixels[:, MARGIN : MARGIN + SIDE] != 255).any(-1).all(1))
    top = rows[0]
    return [
        pixels[top : top + SIDE : factor, left : left + SIDE : factor]
        for left in range(MARGIN, pixels.shape[1] - SIDE, SIDE + 12)
    ]


@pytest.fixture
def words(folder):
    return ["data=image_folder", f"data.root={folder}", "data.image_size=32", "data.batch_size=2"]


def test_pixels_are_those_of_training(homes, words, compose_config, capsys):
    show_batch.main([*words, "seed=3", "--epoch", "2", "--columns", "5"])
    out = homes / "outputs" / "batches" / "image_folder_simple_train.png"
    assert capsys.readouterr().out.splitlines()[-1] == str(out)
    data = make_data(compose_config(*words, "seed=3"))
    data.prepare_data()
    loader = data.train_dataloader()
    loader.sampler.set_epoch(2)
    images = torch.cat([images for images, _ in loader]).permute(0, 2, 3, 1).numpy()
    shown = _shown(out)
    assert len(shown) == 5
    assert all(np.array_equal(a, b) for a, b in zip(shown, images, strict=False))


def test_splits_and_sizes(homes, words, capsys):
    typed = [*words, "data.image_size=[24,40]", "augment=none", "--split", "val", "--rows", "99"]
    show_batch.main([*typed, "--out", f"{homes}/x/val.png"])
    assert capsys.readouterr().out.splitlines()[-1] == f"{homes}/x/val.png"
    assert Image.open(homes / "x" / "val.png").height > 3 * 120  # 18 pictures in rows of 6


def test_captions():
    names = ("can", "box", "bag")
    assert show_batch.caption(torch.tensor(1), names) == ["box"]
    assert show_batch.caption(torch.tensor([0.3, 0.7, 0.0]), names) == ["70% box", "30% can"]


def test_mixed_pictures_are_rounded_into_range():
    images = torch.tensor([-3.0, 0.4, 127.6, 260.0]).view(1, 1, 2, 2).expand(1, 3, 2, 2)
    pixels = show_batch.pictures(images)
    assert pixels.dtype == np.uint8 and pixels[0, :, :, 1].tolist() == [[0, 0], [128, 255]]
    whole = torch.randint(0, 256, (2, 3, 4, 5), dtype=torch.uint8)
    assert np.array_equal(show_batch.pictures(whole).transpose(0, 3, 1, 2), whole.numpy())


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        (["--rows", "0"], "--rows 0: it must be 1 or more."),
        (["--epoch", "-1"], "--epoch -1: it must be 0 or more."),
        (["--out", "x.jpg"], "the picture is a PNG"),
        (["--split", "test"], "no test split"),
        (["augment=nothing"], "There is no augment=nothing"),
    ],
)
def test_mistakes_are_one_sentence(homes, words, typed, says):
    from lightning_modules.config.command_line import report_errors

    with pytest.raises(SystemExit, match=says), report_errors():
        show_batch.main([*words, *typed])
    assert not (homes / "outputs").exists()


def test_mixed_batches_are_those_of_training(homes, words, compose_config):
    """The draws of the first update, as the training's own callback seeds them."""
    from lightning_modules.training.callbacks.seeding import Seeding
    from lightning_modules.training.mixing import configured_mixing

    cfg = compose_config(*words, "mixing=cutmix", "seed=3")
    data = make_data(cfg)
    data.prepare_data()
    batches = list(show_batch.seen_batches(data, cfg, split="train", epoch=1))
    loader = data.train_dataloader()
    loader.sampler.set_epoch(1)
    first, *_ = loader
    loop = SimpleNamespace(total_batch_idx=len(loader))
    trainer = SimpleNamespace(fit_loop=loop, global_rank=0)
    Seeding(seed=3, stream=show_batch.TRAINING).on_train_batch_start(trainer)
    images, targets = configured_mixing(cfg, data.num_classes)(*first)
    assert torch.equal(batches[0][0], images) and torch.equal(batches[0][1], targets)
    assert batches[0][1].shape == (2, 3)


def test_of_a_run_the_images_of_its_own_splits(saved, folder, monkeypatch, caplog):
    """An image that joined since is not among them."""
    cfg = saved_config(saved)
    kept = RunSplits(cfg, saved).apply(make_data(cfg).source.read(), write=True)
    shutil.copy(folder / "val" / "red" / "0.png", folder / "val" / "red" / "joined.png")
    shown = []
    monkeypatch.setattr(
        show_batch, "save_contact_sheet", lambda out, sections, **_: shown.extend(sections[0].tiles)
    )
    show_batch.main([str(saved), "--split", "val", "--columns", "25", "--rows", "1"])
    assert len(shown) == len(kept.splits["val"]) == 18
    assert "1 image joined and is left out (the first: val/red/joined.png)" in caplog.text
