"""Mirror images."""

from types import ModuleType
from typing import Any

from datamodules.augmentation.operation import Operation


class HorizontalFlip(Operation):
    """Left and right change places."""

    def for_albumentations(self, A: ModuleType) -> Any:
        """`HorizontalFlip`."""
        return A.HorizontalFlip(p=self.p)

    def for_torchvision(self, v2: ModuleType) -> Any:
        """`RandomHorizontalFlip`."""
        return v2.RandomHorizontalFlip(p=self.p)


class VerticalFlip(Operation):
    """Top and bottom change places."""

    def for_albumentations(self, A: ModuleType) -> Any:
        """`VerticalFlip`."""
        return A.VerticalFlip(p=self.p)

    def for_torchvision(self, v2: ModuleType) -> Any:
        """`RandomVerticalFlip`."""
        return v2.RandomVerticalFlip(p=self.p)
