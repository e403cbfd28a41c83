"""What a forward pass shows of a network's channels: which axes of tensors belong together.

`tracing` fills it in.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

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
        tied_ratios: sets of variables that are dealt out by position, as `chunk` and channel
            shuffle do, so that all of them shrink in proportion.
        groups: of grouped convolutions and norms, by axis: equally long runs of positions.
        macs: by name of the weight.
        other_macs: of products without a weight.
        unknown: operations that could not be followed, with the modules they were called in.
    """

    shapes: dict[str, torch.Size] = field(default_factory=dict)
    keys: dict[Key, tuple[int, int]] = field(default_factory=dict)
    edges: list[np.ndarray] = field(default_factory=list)
    frozen: list[np.ndarray] = field(default_factory=list)
    tied_ratios: list[np.ndarray] = field(default_factory=list)
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
        """Elements of two maps of one shape belong together; those of no channel must stay."""
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

    def tie_ratio(self, labels: Tensor) -> None:
        """The channels of these labels are dealt out by position."""
        self.tied_ratios.append(compact([labels])[0].unique().numpy())


class Tracer:
    """Which labels each tensor of a forward pass has; `tracing` passes them on, call by call.

    Args:
        network: its parameters and floating buffers are what channels are taken from.
    """

    def __init__(self, network: nn.Module) -> None:
        self.trace = Trace()
        self.where: list[str] = []  # the modules we are inside of
        self._maps: dict[int, list[Tensor]] = {}
        self._weight: dict[int, str] = {}  # of tensors that are made of one parameter only
        self._alive: list[Tensor] = []  # an id is only unique while its tensor lives
        for name, tensor in (*network.named_parameters(), *network.named_buffers()):
            if tensor.is_floating_point():
                self._label_parameter(name, tensor)

    def _label_parameter(self, name: str, tensor: Tensor) -> None:
        self.trace.shapes[name] = tensor.shape
        label_maps = []
        for axis, size in enumerate(tensor.shape[:4]):
            if size > 1 and not (tensor.ndim >= 4 and axis >= 2 and name.endswith("weight")):
                along = [size if d == axis else 1 for d in range(tensor.ndim)]
                labels = self.trace.key(name, axis, size).reshape(along)
                label_maps.append(labels.expand(tensor.shape))
        self.set(tensor, label_maps)
        self._weight[id(tensor)] = name

    def label_maps(self, tensor: Any) -> list[Tensor]:
        """The maps of a tensor; none where nothing is known or nothing is there."""
        return self._maps.get(id(tensor), [])

    def weight(self, tensor: Tensor) -> str | None:
        """The name of the parameter that a tensor was computed from."""
        return self._weight.get(id(tensor))

    def set(self, tensor: Tensor, label_maps: Sequence[Tensor], weight: str | None = None) -> None:
        """Remember the maps of a result."""
        self._alive.append(tensor)
        self._maps[id(tensor)] = [label_map for label_map in label_maps if varying(label_map)]
        if weight is not None:
            self._weight[id(tensor)] = weight

    def freeze_unknown_op(self, operation: str, tensors: Sequence[Any]) -> None:
        """All channels that enter an operation which nobody has explained must stay."""
        labelled = [label_map for tensor in tensors for label_map in self.label_maps(tensor)]
        for label_map in labelled:
            self.trace.freeze(label_map)
        if labelled:
            self.trace.unknown.setdefault(operation, self.where[-1] if self.where else "")
