"""Making the next batches while the present one is trained on."""

import queue
import threading
from collections.abc import Iterator
from typing import Any, TypeVar

from torch.utils.data import DataLoader

Value = TypeVar("Value")

AHEAD = 2  # batches that wait at most
PATIENCE = 0.1  # seconds after which a thread looks whether it is still wanted


class PrefetchingLoader(DataLoader):
    """A loader without worker processes whose batches are made in a thread of this one.

    Worker processes would take the few cores from the training's threads, and making batches in
    between would leave the cores idle: decoding and augmenting leave Python's lock most of the
    time, and so does training.
    """

    def __iter__(self) -> Iterator[Any]:
        return prefetch(super().__iter__())


def prefetch(values: Iterator[Value]) -> Iterator[Value]:
    """Pass `values` through, in order, fetched in a thread up to `AHEAD` of them in advance.

    Whatever fetching raises is raised here. The thread ends with the iterator, whole or not.
    """
    ready: queue.Queue[tuple[str, Any]] = queue.Queue(AHEAD)
    stopped = threading.Event()
    thread = threading.Thread(target=_fetch, args=(values, ready, stopped), daemon=True)
    thread.start()
    try:
        while True:
            kind, value = ready.get()
            if kind == "end":
                return
            if kind == "error":
                raise value
            yield value
    finally:
        stopped.set()
        thread.join()


def _fetch(values: Iterator[Value], ready: queue.Queue, stopped: threading.Event) -> None:
    try:
        for value in values:
            if not _put(("value", value), ready, stopped):
                return
        _put(("end", None), ready, stopped)
    except BaseException as error:  # it is for the thread that waits
        _put(("error", error), ready, stopped)


def _put(entry: tuple[str, Any], ready: queue.Queue, stopped: threading.Event) -> bool:
    """Whether anybody still wanted it."""
    while not stopped.is_set():
        try:
            ready.put(entry, timeout=PATIENCE)
        except queue.Full:
            continue
        return True
    return False
