"""`OwnDraws`: torch's random functions with a generator of one's own."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

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
        generator: What is drawn from.
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
