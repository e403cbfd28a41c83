"""Draws from a generator of one's own are those that a seeded global generator would give."""

import threading

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from datamodules.augmentation.pipeline import sample_seed
from datamodules.augmentation.recipe import Recipe
from datamodules.augmentation.torchvision_pipeline import DRAWING, OwnDraws

IMAGE = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 24, 24), dtype=np.uint8))

TRANSFORMS = [
    v2.RandomResizedCrop(20), v2.RandomCrop(16), v2.RandomPerspective(p=0.9), v2.RandomRotation(30),
    v2.RandomAffine(20, (0.1, 0.1), (0.8, 1.2), 10), v2.ElasticTransform(20.0),
    v2.RandomErasing(p=1), v2.RandomErasing(p=1, value="random"),
    v2.ColorJitter(0.5, 0.5, 0.5, 0.2), v2.RandomPhotometricDistort(),
    v2.RandomChannelPermutation(), v2.GaussianBlur(3), v2.GaussianNoise(), v2.RandomZoomOut(),
    v2.RandAugment(), v2.TrivialAugmentWide(), v2.AugMix(), v2.AutoAugment(),
    v2.RandomOrder([v2.RandomHorizontalFlip(), v2.RandomInvert()]),
    v2.RandomChoice([v2.RandomSolarize(99), v2.RandomPosterize(3)]),
    v2.RandomResize(20, 30), v2.ScaleJitter((20, 20)), v2.JPEG((10, 90)),
]  # fmt: skip


@pytest.mark.parametrize("transform", TRANSFORMS, ids=lambda t: type(t).__name__)
def test_every_transform_of_torchvision(transform):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        expected = [transform(IMAGE) for _ in range(4)]
    state = torch.get_rng_state()
    generator = torch.Generator().manual_seed(11)
    with OwnDraws(generator):
        found = [transform(IMAGE) for _ in range(4)]
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert not torch.equal(generator.get_state(), torch.Generator().manual_seed(11).get_state())


def test_every_name_is_one_of_torch():
    assert all(hasattr(torch, name) or hasattr(torch.Tensor, name) for name in DRAWING)


def test_a_generator_that_is_given_wins():
    own, given = torch.Generator().manual_seed(1), torch.Generator().manual_seed(2)
    with OwnDraws(own):
        found = torch.rand(3, generator=given)
    assert torch.equal(found, torch.rand(3, generator=torch.Generator().manual_seed(2)))


def test_other_threads_are_not_meant():
    found = []
    with OwnDraws(torch.Generator().manual_seed(1)), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(5)
        thread = threading.Thread(target=lambda: found.append(torch.rand(3)))
        thread.start()
        thread.join()
    assert torch.equal(found[0], torch.rand(3, generator=torch.Generator().manual_seed(5)))


def test_a_recipe_is_torchvision_s_transforms_seeded():
    image = IMAGE.permute(1, 2, 0).numpy()
    transforms = v2.Compose([v2.RandomHorizontalFlip(), v2.AutoAugment()])
    recipe = Recipe(image_size=24, backend="torchvision", seed=3, transforms=[transforms])
    for index in range(20):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(sample_seed(3, 1, index))
            expected = transforms(IMAGE)
        assert np.array_equal(recipe(image, 1, index), expected.permute(1, 2, 0).numpy())
