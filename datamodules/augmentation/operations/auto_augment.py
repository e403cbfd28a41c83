"""AutoAugment (Cubuk et al. 2019): a policy that was searched for one data set."""

from types import ModuleType
from typing import Any

from datamodules.augmentation.operation import Operation
from datamodules.decoding import PADDING_COLOR
from datamodules.schema import choice

POLICIES = ("imagenet", "cifar10", "svhn")


class AutoAugment(Operation):
    """One of the policy's 25 pairs of operations, drawn for each image; torchvision's only.

    Args:
        policy: the data set that it was found on: imagenet, cifar10 or svhn.
        p: probability.
    """

    backends = ("torchvision",)

    def __init__(self, *, policy: str, p: float = 1) -> None:
        super().__init__(p=p)
        self.policy = choice("policy", policy, POLICIES)

    def for_torchvision(self, v2: ModuleType) -> Any:
        """`AutoAugment`, filling with gray what comes from outside."""
        augment = v2.AutoAugment(
            v2.AutoAugmentPolicy(self.policy),
            interpolation=v2.InterpolationMode.BILINEAR,
            fill=list(PADDING_COLOR),
        )
        return v2.RandomApply([augment], p=self.p)
