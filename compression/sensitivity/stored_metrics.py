"""Metrics that take long to find, kept in a file one by one: what was found once is only read."""

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from filelock import FileLock
from torch import nn

from compression.errors import CompressionError
from compression.files import write_text

FILE = "figures.json"

Metrics = dict[str, Any] | None
Found = TypeVar("Found", bound=Metrics)


class StoredMetrics:
    """Metrics by key; written in one piece after each new one.

    Args:
        folder: keeps them, or None.

    Raises:
        CompressionError: what lies there cannot be read.
    """

    def __init__(self, folder: Path | None) -> None:
        self.path = None if folder is None else folder / FILE
        self.known: dict[str, Any] = {}
        if self.path is not None and self.path.is_file():
            try:
                self.known = json.loads(self.path.read_bytes())
                if not all(map(_are_metrics, self.known.values())):
                    raise ValueError
            except (ValueError, TypeError, AttributeError, RecursionError):
                raise CompressionError(
                    f"{self.path} is damaged: delete it, and it is measured again."
                ) from None

    def get(self, key: str, measure: Callable[[], Found]) -> Found:
        """What is known under a key, else what `measure` finds."""
        if key not in self.known:
            self.known[key] = measure()
            self._write()
        return self.known[key]

    def _write(self) -> None:
        if self.path is None:
            return
        with _writing(self.path.parent):
            write_text(self.path, json.dumps(self.known, allow_nan=False))


def _are_metrics(found: Any) -> bool:
    """Whether these may be metrics; None is kept where nothing could be measured."""
    json.dumps(found, allow_nan=False)  # a ValueError of NaN and what is infinite
    return found is None or isinstance(found, dict)


@contextlib.contextmanager
def stored_metrics(folder: Path | None) -> Iterator[StoredMetrics]:
    """The metrics of a folder for one process, while others that want them wait.

    Raises:
        CompressionError: the folder cannot be written, or is damaged.
    """
    if folder is None:
        yield StoredMetrics(None)
        return
    lock = FileLock(f"{folder}.lock")
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        os.utime(folder)  # its last use, by which old ones are found
        lock.acquire()
    try:
        yield StoredMetrics(folder)
    finally:
        lock.release()


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise CompressionError(f"The folder {folder} cannot be written ({reason}).") from error


class Digest(Protocol):
    """Such as `hashlib.sha256()`."""

    def update(self, content: bytes, /) -> None:
        """Take in more."""


def digest_weights(digest: Digest, network: nn.Module) -> None:
    """Add the names, types, shapes and values of all parameters and buffers that are saved."""
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        content = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(content.view(torch.uint8).numpy().tobytes())
