"""MACs as PyTorch counts them: convolutions, matrix products and attention, nothing else."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import nn
from torch.utils.flop_counter import FlopCounterMode


@contextmanager
def count_as_standard(network: nn.Module) -> Iterator[Counter[str]]:
    """Count into the yielded counter, by module name, what a forward pass inside `with` does.

    A module gets what it does itself, its children not included. Complete after the `with`.
    """
    own: Counter[str] = Counter()
    running: list[tuple[str, int]] = []  # the modules we are inside of, and the count at entry
    counter = FlopCounterMode(display=False)

    def enter(name: str, *_: Any) -> None:
        running.append((name, counter.get_total_flops()))

    def leave(*_: Any) -> None:
        name, before = running.pop()
        flops = counter.get_total_flops() - before
        own[name] += flops
        if running:
            own[running[-1][0]] -= flops  # what a child does is not its parent's own

    hooks = []
    for name, module in network.named_modules():
        hooks.append(module.register_forward_pre_hook(partial(enter, name)))
        hooks.append(module.register_forward_hook(leave))
    try:
        with counter:
            yield own
    finally:
        for hook in hooks:
            hook.remove()
        for name in own:
            own[name] //= 2  # a multiply-accumulate is two operations
