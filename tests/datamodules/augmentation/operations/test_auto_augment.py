"""AutoAugment: torchvision's policies, after a crop and a flip."""

import numpy as np
import pytest
import torch
from torchvision.transforms import AutoAugmentPolicy, InterpolationMode, v2

from datamodules.augmentation.operations.auto_augment import AutoAugment
from datamodules.augmentation.pipeline import sample_seed
from datamodules.augmentation.recipe import Recipe
from datamodules.errors import DataError


@pytest.mark.parametrize("policy", ("imagenet", "cifar10", "svhn"))
def test_torchvision_s_policy_with_the_same_draws(image, policy):
    height, width = image.shape[:2]
    recipe = Recipe(
        image_size=[height, width], backend="torchvision", transforms=[AutoAugment(policy=policy)]
    )
    theirs = v2.AutoAugment(
        {
            "imagenet": AutoAugmentPolicy.IMAGENET,
            "cifar10": AutoAugmentPolicy.CIFAR10,
            "svhn": AutoAugmentPolicy.SVHN,
        }[policy],
        interpolation=InterpolationMode.BILINEAR,
        fill=[128.0] * 3,
    )
    for index in range(25):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(sample_seed(0, 4, index))
            torch.rand(1)  # whether it is done at all
            expected = theirs(torch.from_numpy(image).permute(2, 0, 1))
        assert np.array_equal(recipe(image, 4, index), expected.permute(1, 2, 0).numpy())


def test_the_shipped_recipe_names_the_policy(shipped):
    *_, augment = shipped("autoaugment", "policy=svhn").transforms
    assert augment.policy == "svhn"
    with pytest.raises(DataError, match="policy=mnist does not exist; there are imagenet, cifar10"):
        AutoAugment(policy="mnist")
