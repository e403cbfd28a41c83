"""The memory that feature maps take while a network runs, found without running it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from weakref import finalize

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from compression.cost.meta_pass import observed_pass


def activation_bytes(network: nn.Module, image_size: int | Sequence[int]) -> int:
    """The most bytes that tensors other than weights take at once, for one image in eager mode.

    The image itself (floating), the input and the output of the layer at work, and what waits for
    a later addition or concatenation count; workspace inside an operator does not.

    Raises:
        CompressionError: a size that the network cannot take.
    """
    return observed_pass(network, image_size, watch_memory).peak


@contextmanager
def watch_memory(network: nn.Module) -> Iterator["Memory"]:
    """Follow what a forward pass inside `with` allocates, the network's own tensors aside."""
    memory = Memory()
    for tensor in (*network.parameters(), *network.buffers()):
        memory.known.add(tensor.untyped_storage()._cdata)
    with memory:
        yield memory


class Memory(TorchDispatchMode):
    """Adds up the storages of all results of operators while they are alive.

    Attributes:
        live: bytes now.
        peak: most bytes so far.
        known: storages that were counted, or are not to be.
    """

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self.known: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        found = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(found):
            if isinstance(tensor, Tensor):
                self._note(tensor.untyped_storage())
        return found

    def _note(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self.known:  # a view, or changed in place
            return
        self.known.add(key)
        self.live += size
        self.peak = max(self.peak, self.live)
        finalize(storage, self._forget, key, size).atexit = False

    def _forget(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.live -= size
