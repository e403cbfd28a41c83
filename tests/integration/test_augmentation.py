"""Strong augmentation and mixing as commands: the same weights for any number of workers."""

import json

import pytest
import torch
from safetensors.torch import load_file

from tests.conftest import run_command

WORDS = [
    "data=image_folder", "data.image_size=[24,32]", "data.batch_size=8", "model.units=[1,1,1]",
    "trainer.max_epochs=2", "trainer.memory_format=contiguous", "logger=none",
    "latency.backend=null", "augment=strong", "mixing=cutmix", "mixing.alpha=1.0",
]  # fmt: skip


def trained(homes, folder, name, *words):
    run = homes / name
    run_command("run.py", *WORDS, *words, f"data.root={folder}", f"hydra.run.dir={run}")
    assert json.loads((run / "metrics.json").read_text())["val/f1"] >= 0
    return load_file(run / "model" / "weights.safetensors")


def same(first, second):
    return all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.slow  # that the batches are equal is tested with the data
def test_equal_weights_for_any_number_of_workers(homes, folder):
    alone = trained(homes, folder, "alone", "data.num_workers=0")
    helped = trained(homes, folder, "helped", "data.num_workers=2")
    assert same(alone, helped)


@pytest.mark.slow
def test_a_teacher_sees_what_workers_mixed(homes, folder):
    trained(homes, folder, "teacher", "data.num_workers=0")
    words = ["augment.backend=torchvision", "mixing=cutmix_or_mixup"]
    words += [f"+teacher.a.run={homes}/teacher"]
    alone = trained(homes, folder, "alone", "data.num_workers=0", *words)
    helped = trained(homes, folder, "helped", "data.num_workers=2", *words)
    assert same(alone, helped)


@pytest.mark.slow
def test_autoaugment_without_torchvision_is_one_sentence(homes, folder):
    done = run_command(
        "run.py", *WORDS, f"data.root={folder}", "augment=autoaugment",
        "augment.backend=albumentations", check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.strip() == (
        "error: AutoAugment cannot be made by albumentations; set augment.backend=torchvision."
    )
    assert not (homes / "outputs").exists()
