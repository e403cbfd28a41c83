"""What a forward pass shows of a network's channels: which axes of tensors belong together."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from compression.cost.macs import forward_shapes
from compression.cost.meta_copy import meta_copy
from compression.pruning.labels import compact, varying

IN = "in"  # the input channels of a convolution with groups: axis 1 holds one group's only
Key = tuple[str, int | str]  # name of a parameter or buffer, axis


@dataclass
class Trace:
    """Facts of one network, in variables: one for each position of each axis.

    Attributes:
        shapes: of all tensors with channels, by name.
        keys: the axes, with the first variable and the number of positions of each.
        edges: pairs of variables that stay or go together.
        frozen: variables that must stay.
        couples: sets of variables that are dealt out by position, as `chunk` and channel shuffle
            do, so that all of them shrink in proportion.
        groups: of grouped convolutions and norms, by axis: equally long runs of positions.
        macs: by name of the weight.
        other_macs: of products without a weight.
        unknown: operations that could not be followed, with the modules they were called in.
    """

    shapes: dict[str, torch.Size] = field(default_factory=dict)
    keys: dict[Key, tuple[int, int]] = field(default_factory=dict)
    edges: list[np.ndarray] = field(default_factory=list)
    frozen: list[np.ndarray] = field(default_factory=list)
    couples: list[np.ndarray] = field(default_factory=list)
    groups: dict[Key, int] = field(default_factory=dict)
    macs: Counter[str] = field(default_factory=Counter)
    other_macs: int = 0
    unknown: dict[str, str] = field(default_factory=dict)
    variables: int = 1  # 0 is no channel

    def key(self, name: str, axis: int | str, size: int) -> Tensor:
        """The variables of an axis, made when first asked for; int64, `size` of them."""
        if (name, axis) not in self.keys:
            self.keys[name, axis] = (self.variables, size)
            self.variables += size
        first, size = self.keys[name, axis]
        return torch.arange(first, first + size)

    def tie(self, a: Tensor, b: Tensor) -> None:
        """Elements of two layers of one shape belong together; those of no channel must stay."""
        a, b = compact([a, b])
        pairs = torch.stack([a, b]).unique(dim=1) if a.numel() > 4096 else torch.stack([a, b])
        pairs = pairs[:, pairs[0] != pairs[1]]
        bare = (pairs == 0).any(0)
        self.freeze(pairs[:, bare])
        self.edges.append(pairs[:, ~bare].numpy())

    def freeze(self, labels: Tensor) -> None:
        """The channels of these labels must stay."""
        labels = compact([labels])[0].unique()
        self.frozen.append(labels[labels > 0].numpy())

    def couple(self, labels: Tensor) -> None:
        """The channels of these labels are dealt out by position."""
        self.couples.append(compact([labels])[0].unique().numpy())


class Tracer(TorchDispatchMode):
    """Follows labels through all operators of a forward pass.

    Args:
        network: its parameters and floating buffers are what channels are taken from.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.trace = Trace()
        self.where: list[str] = []  # the modules we are inside of
        self._layers: dict[int, list[Tensor]] = {}
        self._weight: dict[int, str] = {}  # of tensors that are made of one parameter only
        self._alive: list[Tensor] = []  # an id is only unique while its tensor lives
        for name, tensor in (*network.named_parameters(), *network.named_buffers()):
            if tensor.is_floating_point():
                self._label_parameter(name, tensor)

    def _label_parameter(self, name: str, tensor: Tensor) -> None:
        self.trace.shapes[name] = tensor.shape
        layers = []
        for axis, size in enumerate(tensor.shape[:4]):
            if size > 1 and not (tensor.ndim >= 4 and axis >= 2 and name.endswith("weight")):
                along = [size if d == axis else 1 for d in range(tensor.ndim)]
                labels = self.trace.key(name, axis, size).reshape(along)
                layers.append(labels.expand(tensor.shape))
        self.set(tensor, layers)
        self._weight[id(tensor)] = name

    def layers(self, tensor: Any) -> list[Tensor]:
        """The label layers of a tensor; none where nothing is known or nothing is there."""
        return self._layers.get(id(tensor), [])

    def weight(self, tensor: Tensor) -> str | None:
        """The name of the parameter that a tensor was computed from."""
        return self._weight.get(id(tensor))

    def set(self, tensor: Tensor, layers: Sequence[Tensor], weight: str | None = None) -> None:
        """Remember the layers of a result."""
        self._alive.append(tensor)
        self._layers[id(tensor)] = [layer for layer in layers if varying(layer)]
        if weight is not None:
            self._weight[id(tensor)] = weight

    def give_up(self, operation: str, tensors: Sequence[Any]) -> None:
        """All channels that enter an operation which nobody has explained must stay."""
        labelled = [layer for tensor in tensors for layer in self.layers(tensor)]
        for layer in labelled:
            self.trace.freeze(layer)
        if labelled:
            self.trace.unknown.setdefault(operation, self.where[-1] if self.where else "")

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        from compression.pruning.operators import follow

        out = func(*args, **(kwargs or {}))
        inputs = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        if any(self.layers(tensor) for tensor in inputs):
            follow(self, func, args, kwargs or {}, inputs, out)
        return out


def trace_channels(network: nn.Module, image_size: int | Sequence[int]) -> Trace:
    """Follow all channels of a network through one forward pass on the meta device.

    Raises:
        CompressionError: the network cannot take images of that size.
    """
    copy = meta_copy(network)
    tracer = Tracer(copy)
    # The attention kernels as the products that they stand for.
    with inside(copy, tracer.where), sdpa_kernel(SDPBackend.MATH), tracer, torch.no_grad():
        output = _forward(copy, image_size)
    for layer in tracer.layers(output):
        tracer.trace.freeze(layer)
    return tracer.trace


def _forward(copy: nn.Module, image_size: int | Sequence[int]) -> Tensor:
    """The logits of one image without values."""
    kept: list[Tensor] = []
    hook = copy.register_forward_hook(lambda _, __, output: kept.append(output))
    try:
        forward_shapes(copy, image_size)
    finally:
        hook.remove()
    return kept[-1]


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
        with _plain_attention():
            yield
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def _plain_attention() -> Iterator[None]:
    """nn.MultiheadAttention without its one-kernel form, which hides the products."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
