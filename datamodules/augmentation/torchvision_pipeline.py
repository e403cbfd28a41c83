"""Pipelines of torchvision's transforms (`torchvision.transforms.v2`)."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode
from torchvision.transforms import v2

from datamodules.augmentation.operation import ArrayTransform, Operation
from datamodules.augmentation.pipeline import Pipeline

# torch's functions and methods that draw numbers; all take a `generator`.
DRAWING = {
    "rand", "rand_like", "randn", "randn_like", "randint", "randint_like", "randperm", "normal",
    "bernoulli", "multinomial", "poisson", "_standard_gamma", "_sample_dirichlet", "uniform_",
    "normal_", "random_", "bernoulli_", "exponential_", "geometric_", "log_normal_", "cauchy_",
}  # fmt: skip


class OwnDraws(TorchFunctionMode):
    """Within this context, code that draws from torch's global generator draws from another.

    torchvision's transforms take no generator. To seed the global one and to put its state back
    would work in a process of its own, but beside a training thread each would take the other's
    draws; this context holds for the thread that enters it only.

    Args:
        generator: what is drawn from.
    """

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        self.generator = generator

    def __torch_function__(
        self,
        function: Callable,
        types: Iterable[type],
        args: tuple = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(function, "__name__", None) in DRAWING and kwargs.get("generator") is None:
            kwargs = {**kwargs, "generator": self.generator}
        return function(*args, **kwargs)


class LibraryPipeline(Pipeline):
    """Transforms one after the other, with draws that do not touch torch's global generator."""

    library = "torchvision.transforms.v2"

    def __init__(self, transforms: Sequence[Any], *, seed: int) -> None:
        self.generator = torch.Generator()
        super().__init__(transforms, seed=seed)

    def reseed(self, seed: int) -> None:
        """Start the streams of torch and of this package anew."""
        super().reseed(seed)
        self.generator.manual_seed(seed)

    def run(self, image: np.ndarray) -> np.ndarray:
        """Apply all transforms to a copy of uint8 h x w x 3, with this pipeline's own draws."""
        with OwnDraws(self.generator):
            # A copy: the cache's pixels are read-only, which a tensor cannot be.
            return super().run(np.array(image))

    def make(self, operation: Operation) -> Any:
        """The transform of torchvision for an operation, or an ArrayTransform."""
        return operation.for_torchvision(v2)

    def adapt(self, transform: Any) -> ArrayTransform | None:
        """An ArrayTransform that applies a transform of torchvision to 3 x h x w."""
        if not isinstance(transform, v2.Transform):
            return None

        def apply(image: np.ndarray, _: Any) -> np.ndarray:
            pixels = torch.from_numpy(image).permute(2, 0, 1)  # 3 x h x w
            return np.ascontiguousarray(transform(pixels).permute(1, 2, 0).numpy())

        return apply
