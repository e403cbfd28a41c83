"""Pipelines of torchvision's transforms (`torchvision.transforms.v2`)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torchvision.transforms import v2

from datamodules.augmentation.operation import Operation, Step
from datamodules.augmentation.pipeline import Pipeline
from datamodules.augmentation.torch_draws import OwnDraws


class LibraryPipeline(Pipeline):
    """Transforms one after the other, with draws that do not touch torch's global generator."""

    library = "torchvision.transforms.v2"

    def __init__(self, transforms: Sequence[Any], *, seed: int) -> None:
        self.generator = torch.Generator()
        super().__init__(transforms, seed=seed)

    def reseed(self, seed: int) -> None:
        super().reseed(seed)
        self.generator.manual_seed(seed)

    def run(self, image: np.ndarray) -> np.ndarray:
        with OwnDraws(self.generator):
            # A copy: the cache's pixels are read-only, which a tensor cannot be.
            return super().run(np.array(image))

    def make(self, operation: Operation) -> Any:
        return operation.for_torchvision(v2)

    def adapt(self, transform: Any) -> Step | None:
        if not isinstance(transform, v2.Transform):
            return None

        def step(image: np.ndarray, _: Any) -> np.ndarray:
            pixels = torch.from_numpy(image).permute(2, 0, 1)  # 3 x h x w
            return np.ascontiguousarray(transform(pixels).permute(1, 2, 0).numpy())

        return step
