"""Recipes with a published policy at their end, whose few numbers are the recipe's own keys."""

from collections.abc import Mapping, Sequence
from typing import Any

from datamodules.augmentation.operations.auto_augment import AutoAugment
from datamodules.augmentation.operations.rand_augment import RandAugment
from datamodules.augmentation.recipe import Recipe, in_order

Transforms = Sequence[Any] | Mapping[str, Any]


def rand_augment(
    *, n: int, level: int, max_level: int, transforms: Transforms = (), **recipe: Any
) -> Recipe:
    """A `Recipe` that ends with RandAugment.

    Args:
        n, level, max_level: See `RandAugment`.
        transforms: What happens before.
        recipe: Arguments of `Recipe`.
    """
    last = RandAugment(n=n, level=level, max_level=max_level)
    return Recipe(transforms=[*in_order(transforms), last], **recipe)


def auto_augment(*, policy: str, transforms: Transforms = (), **recipe: Any) -> Recipe:
    """A `Recipe` that ends with AutoAugment.

    Args:
        policy: See `AutoAugment`.
        transforms: What happens before.
        recipe: Arguments of `Recipe`.
    """
    return Recipe(transforms=[*in_order(transforms), AutoAugment(policy=policy)], **recipe)
