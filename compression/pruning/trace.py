"""What a forward pass shows of a network's channels: which axes of tensors belong together.

`tracing` fills it in.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from compression.pruning.labels import compact

IN = "in"  # the input channels of a convolution with groups: axis 1 holds one group's only
HEADS = "heads"  # of an attention module, which then stands in the place of a tensor
Key = tuple[str, int | str]  # name of a parameter or buffer, axis


@dataclass
class Trace:
    """Facts of one network, in variables: one for each position of each axis.

    Attributes:
        shapes: of all tensors with channels, by name.
        keys: the axes, with the first variable and the number of positions of each.
        edges: pairs of variables that stay or go together.
        frozen: variables that must stay, and why, in words; no words where that is no news.
        explained: variables that an operator sums over or makes: the others are no channels.
        tied_ratios: sets of variables that are dealt out by position, as `chunk` and channel
            shuffle do, so that all of them shrink in proportion.
        visits: variables that enter an operator, with a number that stands for the operator, its
            argument and its constants. Channels that visit others are not interchangeable.
        operators: by that number, the name of the operator and of its argument.
        produced: by name of a weight, the variables of what it makes.
        groups: of grouped convolutions and norms, by axis: equally long runs of positions.
        macs: by name of the weight.
        heads: how many an attention module has whose channels go by whole heads, by its name. It
            has a shape too, of that length, and the MACs of its products without a weight.
        other_macs: of all other products, without a weight or in layers that are not looked into.
        unknown: operations that could not be followed, with the modules they were called in.
    """

    shapes: dict[str, torch.Size] = field(default_factory=dict)
    keys: dict[Key, tuple[int, int]] = field(default_factory=dict)
    edges: list[np.ndarray] = field(default_factory=list)
    frozen: list[tuple[np.ndarray, str]] = field(default_factory=list)
    explained: list[np.ndarray] = field(default_factory=list)
    tied_ratios: list[np.ndarray] = field(default_factory=list)
    visits: list[tuple[int, np.ndarray]] = field(default_factory=list)
    operators: dict[int, str] = field(default_factory=dict)
    produced: dict[str, np.ndarray] = field(default_factory=dict)
    groups: dict[Key, int] = field(default_factory=dict)
    macs: Counter[str] = field(default_factory=Counter)
    heads: dict[str, int] = field(default_factory=dict)
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

    def tie(self, a: Tensor, b: Tensor, why: str = "") -> None:
        """Elements of two maps of one shape belong together; those of no channel must stay."""
        a, b = compact([a, b])
        pairs = torch.stack([a, b]).unique(dim=1) if a.numel() > 4096 else torch.stack([a, b])
        pairs = pairs[:, pairs[0] != pairs[1]]
        bare = (pairs == 0).any(0)
        self.freeze(pairs[:, bare], why)
        self.edges.append(pairs[:, ~bare].numpy())

    def freeze(self, labels: Tensor, why: str = "") -> None:
        """The channels of these labels must stay."""
        found = variables_of(labels)
        if len(found):
            self.frozen.append((found, why))

    def explain(self, label_maps: Sequence[Tensor]) -> None:
        """An operator takes these labels for channels."""
        self.explained += [variables_of(label_map) for label_map in label_maps]

    def tie_ratio(self, labels: Tensor) -> None:
        """The channels of these labels are dealt out by position."""
        self.tied_ratios.append(compact([labels])[0].unique().numpy())


def variables_of(labels: Tensor) -> np.ndarray:
    """The variables among labels, each once, ascending."""
    found = np.unique(compact([labels])[0].numpy())
    return found[found > 0]
