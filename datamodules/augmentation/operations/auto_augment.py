"""AutoAugment (Cubuk et al. 2019): a policy that was searched for one data set."""

from types import ModuleType
from typing import Any, ClassVar, Literal

from datamodules.augmentation.operation import Operation
from datamodules.decoding import PADDING_COLOR
from datamodules.schema import Probability, declared


@declared
class AutoAugment(Operation):
    """One of the policy's 25 pairs of operations, drawn for each image; torchvision's only.

    Attributes:
        policy: the data set that it was found on.
        p: probability.
    """

    backends: ClassVar[tuple[str, ...]] = ("torchvision",)

    policy: Literal["imagenet", "cifar10", "svhn"]
    p: Probability = 1

    def for_torchvision(self, v2: ModuleType) -> Any:
        """`AutoAugment`, filling with gray what comes from outside."""
        augment = v2.AutoAugment(
            v2.AutoAugmentPolicy(self.policy),
            interpolation=v2.InterpolationMode.BILINEAR,
            fill=list(PADDING_COLOR),
        )
        return v2.RandomApply([augment], p=self.p)
