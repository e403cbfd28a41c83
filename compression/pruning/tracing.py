"""Tracing: the labels of channels are passed on through all operators of one forward pass."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from compression.cost import observed_pass
from compression.evaluation_mode import spelled_out_attention
from compression.network_copy import forget_stored
from compression.pruning import (  # noqa: F401 - they add their rules
    layer_rules,
    layout_rules,
    reduction_rules,
)
from compression.pruning.means import keep_means
from compression.pruning.rules import propagate
from compression.pruning.trace import Trace
from compression.pruning.tracer import Tracer


class _Dispatch(TorchDispatchMode):
    """Passes the labels of every call's inputs on to its results; counts products without any."""

    def __init__(self, tracer: Tracer) -> None:
        super().__init__()
        self.tracer = tracer

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        inputs = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        known = any(self.tracer.label_maps(t) or self.tracer.means(t) for t in inputs)
        if known and not self.tracer.opaque:
            propagate(self.tracer, func, args, kwargs or {}, inputs, out)
        elif count := flop_registry.get(func._overloadpacket):
            self.tracer.trace.other_macs += count(*args, **(kwargs or {}), out_val=out) // 2
        return out


def trace_channels(
    network: nn.Module, image_size: int | Sequence[int], heads: Collection[str] = ()
) -> Trace:
    """Follow all channels of a network through one forward pass on the meta device.

    Args:
        network: stays as it is.
        image_size: an int or [height, width] in pixels.
        heads: names of attention modules whose channels go by whole heads.

    Raises:
        CompressionError: the network cannot take images of that size.
    """
    return observed_pass(network, image_size, partial(_trace, heads)).trace


@contextmanager
def _trace(heads: Collection[str], copy: nn.Module) -> Iterator[Tracer]:
    """Follow what a forward pass inside `with` does with channels; those of outputs must stay."""
    forget_stored(copy)
    tracer = Tracer(copy, heads)

    def keep_outputs(_: nn.Module, __: Any, output: Any) -> None:
        for tensor in tree_leaves(output):
            for label_map in tracer.label_maps(tensor):
                tracer.trace.freeze(label_map)
            if isinstance(tensor, Tensor):
                keep_means(tracer, tensor)

    hooks = [copy.register_forward_hook(keep_outputs)]
    try:
        # The attention kernels as the products that they stand for.
        with inside(copy, tracer.where), sdpa_kernel(SDPBackend.MATH), _Dispatch(tracer):
            hooks += _opaque(copy, tracer)
            yield tracer
    finally:
        for hook in hooks:
            hook.remove()


def _opaque(network: nn.Module, tracer: Tracer) -> Iterator[Any]:
    """Do not look into recurrent layers: hundreds of operators, and all channels must stay."""

    def enter(module: nn.Module, inputs: Any) -> None:
        tensors = [*tree_leaves(inputs), *module.parameters()]
        tracer.freeze_unknown_op(type(module).__name__, tensors)
        tracer.opaque = True

    def leave(*_: Any) -> None:
        tracer.opaque = False

    for module in network.modules():
        if isinstance(module, nn.RNNBase):
            yield module.register_forward_pre_hook(enter)
            yield module.register_forward_hook(leave)


@contextmanager
def inside(network: nn.Module, where: list[str]) -> Iterator[None]:
    """Keep in `where` the names of the modules that the forward pass is inside of.

    After an exception it still says where that was.
    """

    def leave(*_: Any) -> None:
        where.pop()

    hooks = []
    for name, module in network.named_modules():
        hooks.append(module.register_forward_pre_hook(lambda *_, name=name: where.append(name)))
        hooks.append(module.register_forward_hook(leave))
    try:
        with spelled_out_attention():
            yield
    finally:
        for hook in hooks:
            hook.remove()
