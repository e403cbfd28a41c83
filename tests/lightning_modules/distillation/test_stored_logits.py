"""Stored logits are the live teachers' own, bit for bit, and only they are used again."""

import numpy as np
import pytest
import torch

from datamodules.errors import DataError
from lightning_modules.distillation.stored_logits import images_key, store_logits, teacher_key
from tests.conftest import draw_folder
from tests.lightning_modules.distillation.conftest import *  # noqa: F403

CPU = torch.device("cpu")
AUGMENTATION = {"crop_scale": [0.5, 1.0], "seed": 0}


def store(teachers, data, tmp_path, *, repeats=2, augmentation=AUGMENTATION):
    return store_logits(
        teachers, data, augmentation, repeats=repeats, cache_dir=tmp_path / "cache", device=CPU
    )


def view_folders(tmp_path):
    found = (tmp_path / "cache" / "teacher_logits").glob("*/*/view_*")
    return sorted(path for path in found if path.is_dir())  # a lock lies beside each


@pytest.mark.parametrize("batch_size", [10, 16, 64])
def test_every_batch_gets_what_live_teachers_would_say(
    make_data, make_teacher, tmp_path, batch_size
):
    """36 images: 10 and 16 leave a last batch that is not full, 64 makes a single small one."""
    data, teachers = make_data(batch_size=batch_size), [make_teacher("a"), make_teacher("b", 2)]
    found = store(teachers, data, tmp_path)
    data.augmentation_repeats = 2
    loader, seen = data.train_dataloader(), set()
    for epoch in range(6):
        loader.sampler.set_epoch(epoch)
        for images, _, keys in loader:
            assert (keys[:, 0] == epoch % 2).all()
            seen |= {tuple(key) for key in keys}
            for teacher, stored in zip(teachers, found, strict=True):
                assert torch.equal(stored.read(keys), teacher(images))
    assert len(seen) == 72  # all images of both repeats came by, those of last batches too
    assert not any(p.is_cuda for t in teachers for p in t.network.parameters())


def test_repeats_are_computed_once_and_shared(make_data, make_teacher, tmp_path, capsys):
    data, teacher = make_data(), make_teacher()
    store([teacher], data, tmp_path)
    assert capsys.readouterr().out.count("Teacher a looks at augmentation") == 2
    made = [(folder / "logits").stat().st_ctime_ns for folder in view_folders(tmp_path)]
    store([make_teacher("renamed")], make_data(), tmp_path, repeats=3)
    assert "augmentation 3 of 3" in (said := capsys.readouterr().out)
    assert said.count("looks at") == 1
    folders = view_folders(tmp_path)
    assert [(folder / "logits").stat().st_ctime_ns for folder in folders][:2] == made
    sizes = {(folder / "logits").stat().st_size for folder in view_folders(tmp_path)}
    assert sizes == {36 * 3 * 4}


def test_other_images_are_not_mistaken_for_these(make_data, make_teacher, tmp_path, caplog):
    teacher = make_teacher()
    (here,) = store([teacher], make_data(), tmp_path)
    other = draw_folder(tmp_path / "other", size=20)
    with caplog.at_level("INFO"):
        (there,) = store([teacher], make_data(other), tmp_path)
    assert "its cached logits are of other images" in caplog.text
    keys = np.array([[0, 0], [0, 5]])
    assert not torch.equal(here.read(keys), there.read(keys))
    assert len(view_folders(tmp_path)) == 4


def test_keys_follow_from_content(make_data, make_teacher, folder):
    data, key = make_data(), teacher_key(make_teacher(), CPU)
    assert teacher_key(make_teacher("renamed", weight=2.0, temperature=3.0), CPU) == key
    assert teacher_key(make_teacher(seed=2), CPU) != key
    assert teacher_key(make_teacher(channels_last=True), CPU) != key
    changed = make_teacher()
    changed.network[1].stride = (1, 1)
    assert teacher_key(changed, CPU) != key
    halved = make_teacher()
    halved.network.to(torch.bfloat16)
    assert teacher_key(halved, CPU) != key

    images = images_key(data, AUGMENTATION)
    assert images_key(make_data(batch_size=20), AUGMENTATION) != images
    assert images_key(make_data(eval_batch_size=20), AUGMENTATION) == images
    assert images_key(data, {**AUGMENTATION, "seed": 1}) != images
    assert images_key(make_data(seed=1), AUGMENTATION) == images  # of the order only
    (folder / "train" / "red" / "3.png").unlink()
    assert images_key(make_data(), AUGMENTATION) != images


def test_a_killed_build_leaves_whole_repeats_only(make_data, make_teacher, tmp_path, monkeypatch):
    data, teacher = make_data(), make_teacher()
    batches = data.repeat_batches

    def dies(repeat):
        if repeat == 1:
            raise KeyboardInterrupt
        return batches(repeat)

    monkeypatch.setattr(data, "repeat_batches", dies)
    with pytest.raises(KeyboardInterrupt):
        store([teacher], data, tmp_path)
    assert [folder.name for folder in view_folders(tmp_path)] == ["view_0000"]
    monkeypatch.undo()
    (stored,) = store([teacher], data, tmp_path)
    assert stored.read(np.array([[1, 35]])).shape == (1, 3)


def test_a_damaged_file_is_said(make_data, make_teacher, tmp_path):
    (stored,) = store([make_teacher()], make_data(), tmp_path)
    path = stored.folder_of(0) / "logits"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(DataError, match=r"view_0000 are damaged: delete it"):
        stored.read(np.array([[0, 0]]))
