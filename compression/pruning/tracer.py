"""What a trace is made with: the labels of every tensor while a forward pass runs."""

import hashlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from compression.pruning.attention_heads import head_rows
from compression.pruning.labels import varying
from compression.pruning.trace import HEADS, Trace, variables_of


class Mean(NamedTuple):
    """A mean over channels, on its way back to them in a norm that the network writes by hand.

    Attributes:
        labels: of the channels; int64.
        why: they must stay where it goes anywhere else, in words.
        inverse: whether one is divided by it.
        exact: a sum, which is the same without channels that are 0; none of them must stay.
    """

    labels: np.ndarray
    why: str
    inverse: bool = False
    exact: bool = False


def sum_of(labels: Tensor) -> Mean:
    """A sum over channels, exact without those that are 0; what it is scaled by may not be."""
    return Mean(variables_of(labels), "", exact=True)


class Tracer:
    """Which labels each tensor of a forward pass has; `rules` passes them on, call by call.

    Args:
        network: its parameters and floating buffers are what channels are taken from.
        heads: names of attention modules, all channels of a head of which are one.

    Attributes:
        trace: what was found.
        where: names of the modules that the pass is inside of.
        opaque: whether it is inside one that is not looked into.
    """

    def __init__(self, network: nn.Module, heads: Collection[str] = ()) -> None:
        self.trace = Trace()
        self.where: list[str] = []
        self.opaque = False
        self._root = type(network).__name__
        self._maps: dict[int, list[Tensor]] = {}
        self._weight: dict[int, str] = {}  # of tensors that are made of one parameter only
        self._parameters: set[int] = set()
        self._head: dict[str, Tensor] = {}  # by name of a weight, the label of every row
        self._attention: dict[int, str] = {}  # by label of a head
        self._alive: list[Tensor] = []  # an id is only unique while its tensor lives
        self._calls: Counter[tuple[str, str]] = Counter()
        # By memory, which views share:
        self._filled: set[int] = set()
        self._means: dict[int, list[Mean]] = {}
        for name in heads:
            self._label_heads(name, network.get_submodule(name))
        for name, tensor in (*network.named_parameters(), *network.named_buffers()):
            if tensor.is_floating_point():
                self._label_parameter(name, tensor)

    def _label_heads(self, name: str, attention: nn.Module) -> None:
        """One label for a head, on all rows of weights that make its channels."""
        rows = head_rows(attention)
        count = 1 + max(int(own.max()) for own in rows.values())
        self.trace.heads[name] = count
        self.trace.shapes[name] = torch.Size([count])
        labels = self.trace.key(name, HEADS, count)
        self._attention |= dict.fromkeys(labels.tolist(), name)
        self._head |= {f"{name}.{weight}": labels[own] for weight, own in rows.items()}

    def _label_parameter(self, name: str, tensor: Tensor) -> None:
        """Every axis has labels: which of them are channels is said by the operators it meets."""
        self.trace.shapes[name] = tensor.shape
        label_maps = []
        for axis, size in enumerate(tensor.shape):
            if size > 1:
                along = [size if d == axis else 1 for d in range(tensor.ndim)]
                labels = self.trace.key(name, axis, size)
                if axis == 0 and name in self._head:
                    self.trace.tie(labels, self._head[name])
                    labels = self._head[name]
                label_maps.append(labels.reshape(along).expand(tensor.shape))
        self.set(tensor, label_maps)
        self._weight[id(tensor)] = name
        self._parameters.add(id(tensor))

    @property
    def at(self) -> str:
        """The module that the pass is inside of, for sentences."""
        return (self.where[-1] if self.where else "") or self._root

    def label_maps(self, tensor: Any) -> list[Tensor]:
        """The maps of a tensor; none where nothing is known or nothing is there."""
        return self._maps.get(id(tensor), [])

    def weight(self, tensor: Tensor) -> str | None:
        """The name of the parameter that a tensor was computed from."""
        return self._weight.get(id(tensor))

    def attention(self, label_map: Tensor) -> str | None:
        """The module whose heads the labels of a map are; None where they are no heads."""
        return self._attention.get(int(label_map[(0,) * label_map.ndim]))

    def set(self, tensor: Tensor, label_maps: Sequence[Tensor], weight: str | None = None) -> None:
        """Remember the maps of a result."""
        self._alive.append(tensor)
        self._maps[id(tensor)] = [label_map for label_map in label_maps if varying(label_map)]
        if weight is not None:
            self._weight[id(tensor)] = weight

    def visit(self, operation: str, arguments: Mapping[str, Any], constants: Sequence[Any]) -> None:
        """Channels enter an operator.

        Args:
            operation: its name.
            arguments: of the call, by name.
            constants: numbers among them, which may follow from the number of channels.
        """
        where = self.where[-1] if self.where else ""
        number = self._calls[where, operation]
        self._calls[where, operation] += 1
        for name, argument in _tensors(arguments):
            if id(argument) in self._parameters:  # all of its channels enter alike
                continue
            place = _hashed(f"{where} {operation} {number} {name} {constants}")
            visitors = [variables_of(label_map) for label_map in self.label_maps(argument)]
            visitors += [mean.labels for mean in self.means(argument)]
            self.trace.visits += [(place, labels) for labels in visitors]
            self.trace.operators[place] = f"{operation}.{name}"

    def visit_parts(
        self, operation: str, argument: int, labels: np.ndarray, parts: np.ndarray
    ) -> None:
        """Channels enter different parts of an operator; one part for each label."""
        where = self.where[-1] if self.where else ""
        number = self._calls[where, operation]
        self._calls[where, operation] += 1
        for part in np.unique(parts).tolist():
            own = labels[parts == part]
            place = _hashed(f"{where} {operation} {number} {argument} {part}")
            self.trace.visits.append((place, own[own > 0]))
            self.trace.operators[place] = operation

    def filled(self, tensor: Tensor) -> bool:
        """Whether channels that are taken out might hold other values than 0 here."""
        return _memory(tensor) in self._filled

    def fill(self, tensor: Tensor) -> None:
        """Channels that are taken out might hold other values than 0 here."""
        self._alive.append(tensor)
        self._filled.add(_memory(tensor))

    def means(self, tensor: Tensor) -> list[Mean]:
        """The means over channels that a tensor was computed from."""
        return self._means.get(_memory(tensor), [])

    def set_means(self, tensor: Tensor, means: Sequence[Mean]) -> None:
        """Remember what means over channels a result was computed from."""
        self._alive.append(tensor)
        self._means[_memory(tensor)] = list(means)

    def freeze_unknown_op(self, operation: str, tensors: Sequence[Any]) -> None:
        """All channels that enter an operation which nobody has explained must stay."""
        labelled = [label_map for tensor in tensors for label_map in self.label_maps(tensor)]
        for label_map in labelled:
            self.trace.freeze(label_map, f"its channels enter {operation} in {self.at}")
        if labelled:
            self.trace.unknown.setdefault(operation, self.where[-1] if self.where else "")


def _tensors(arguments: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    for name, argument in arguments.items():
        for item in argument if isinstance(argument, list | tuple) else [argument]:
            if isinstance(item, Tensor):
                yield name, item


def _hashed(place: str) -> int:
    return int.from_bytes(hashlib.blake2b(place.encode(), digest_size=8).digest())


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata
