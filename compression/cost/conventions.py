"""Two conventions of counting MACs in a forward pass.

`standard`: as PyTorch counts them: convolutions, matrix products and attention, nothing else.

`leaderboard2021`: as the 2021 leaderboard counted them: ptflops 0.6 with the ReLU-like activations
left out. Only modules count, functional operations do not:

- convolution: k * k * C_in / groups * C_out * H_out * W_out, + C_out * H_out * W_out with a bias;
- BatchNorm: its elements, twice where it is affine;
- pooling module: its input elements;
- Linear: in * out, + out with a bias, for every position it is applied to.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.pooling import (
    _AdaptiveAvgPoolNd,
    _AdaptiveMaxPoolNd,
    _AvgPoolNd,
    _MaxPoolNd,
)
from torch.utils.flop_counter import FlopCounterMode

POOLS = (_AdaptiveAvgPoolNd, _AdaptiveMaxPoolNd, _AvgPoolNd, _MaxPoolNd)


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


@contextmanager
def count_as_leaderboard(network: nn.Module) -> Iterator[Counter[str]]:
    """Count into the yielded counter, by module name, what a forward pass inside `with` does."""
    counts: Counter[str] = Counter()

    def count(name: str, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        counts[name] += _macs(module, inputs[0], output)

    counted = (_ConvNd, _BatchNorm, nn.Linear, *POOLS)
    hooks = [
        module.register_forward_hook(partial(count, name))
        for name, module in network.named_modules()
        if isinstance(module, counted)
    ]
    try:
        yield counts
    finally:
        for hook in hooks:
            hook.remove()


def _macs(module: nn.Module, entering: Tensor, leaving: Tensor) -> int:
    if isinstance(module, _ConvNd):
        per_output = module.weight[0].numel() + (module.bias is not None)
        return per_output * leaving.numel()
    if isinstance(module, nn.Linear):
        return (module.in_features + (module.bias is not None)) * leaving.numel()
    if isinstance(module, _BatchNorm):
        return entering.numel() * (2 if module.affine else 1)
    return entering.numel()
