"""Decompositions run on one thread."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Let PyTorch use one thread inside.

    A layer's matrices are too small to be shared out with profit, and on a busy machine threads
    that wait for each other made the SVDs of an EfficientNet twenty times slower.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
