"""Building a network without its weights: for counting, describing, and loading from a file."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

# What allocates parameters that an initialiser is going to fill.
UNFILLED = {torch.empty, torch.empty_like, torch.rand, torch.randn, torch.normal}


class Outline(TorchFunctionMode):
    """Inside `with Outline():`, tensors that would hold random or no values are made on meta.

    Unlike under `torch.device("meta")`, tensors with meaningful values (ranges, index tables, the
    widths that RegNet computes) stay real, so that constructors may read them and buffers that no
    file holds are right; the parameters take no memory and no time.
    """

    def __torch_function__(
        self,
        func: Callable,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func in UNFILLED and kwargs.get("device") is None and "out" not in kwargs:
            kwargs["device"] = "meta"
        return func(*args, **kwargs)
