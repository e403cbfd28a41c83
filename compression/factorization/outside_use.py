"""Layers whose insides other code uses: a product put in their place would not have them.

`nn.TransformerEncoder` reads the weights of its Linear layers for a kernel of its own, other
networks ask a layer for the type of its weights, or use them in a functional call.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from compression.cost import observed_pass
from compression.cost.geometry import Layer
from compression.errors import CompressionError

OF_PRODUCT = frozenset(dir(nn.Sequential()))  # what a product has as well


def used_from_outside(
    network: nn.Module, image_size: int | Sequence[int], layers: dict[str, Layer]
) -> set[str]:
    """The names of those `layers` of which a forward pass uses more than their output.

    Args:
        network: stays as it is.
        image_size: an int or [height, width] in pixels.
        layers: of the network, by name; products are passed over.

    Raises:
        CompressionError: the network cannot take images of that size.
    """
    names = [name for name, layer in layers.items() if not isinstance(layer, nn.Sequential)]
    found = observed_pass(network, image_size, partial(_watch, names, anew=False))
    if any(module._non_persistent_buffers_set for module in network.modules()):
        # What is computed in a first pass, as tables of places, is computed anew when it is loaded.
        with suppress(CompressionError):
            found |= observed_pass(network, image_size, partial(_watch, names, anew=True))
    return found


@contextmanager
def _watch(names: Sequence[str], twin: nn.Module, *, anew: bool) -> Iterator[set[str]]:
    """Watch the layers of a copy, which is thrown away afterwards, inside `with`.

    Args:
        names: of the layers.
        twin: the copy.
        anew: whether what is not stored with the network has another size, as in one not yet used.
    """
    watch = _Watch()
    for module in twin.modules() if anew else ():
        for name in module._non_persistent_buffers_set:
            if (buffer := module._buffers[name]) is not None:
                module._buffers[name] = buffer[(slice(0, 1),) * buffer.ndim]
    for name in names:
        layer = twin.get_submodule(name)
        watch.owners |= {id(tensor): name for tensor in layer.parameters(recurse=False)}
        layer.__class__ = _watched(type(layer), name, watch)
    with watch:
        yield watch.found


class _Watch(TorchDispatchMode):
    """Notes whose parameters an operation uses while their own layer does not run."""

    def __init__(self) -> None:
        super().__init__()
        self.owners: dict[int, str] = {}  # layer by the identity of its parameter
        self.running: list[str] = []
        self.found: set[str] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        for leaf in tree_leaves((args, kwargs)):
            owner = self.owners.get(id(leaf)) if isinstance(leaf, Tensor) else None
            if owner is not None and owner not in self.running:
                self.found.add(owner)
        return func(*args, **(kwargs or {}))


def _watched(kind: type[nn.Module], name: str, watch: _Watch) -> type[nn.Module]:
    """A class of the same layer that notes what is read of it while it does not run."""

    class Watched(kind):  # type: ignore[valid-type, misc]
        def forward(self, *args: Any, **kwargs: Any) -> Any:
            watch.running.append(name)
            try:
                return super().forward(*args, **kwargs)
            finally:
                watch.running.pop()

        def __getattribute__(self, attribute: str) -> Any:
            if attribute not in OF_PRODUCT and name not in watch.running:
                watch.found.add(name)
            return super().__getattribute__(attribute)

    return Watched
