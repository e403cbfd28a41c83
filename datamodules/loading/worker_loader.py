"""Batches from worker processes: never an endless wait, and one sentence for whatever ends them.

A batch comes in shared memory, which costs one copy. Where that is full, it comes through a pipe:
containers have 64 MB of it by default, which two batches of large images fill, and a process that
finds no room in the midst of sending leaves the training waiting for ever.
"""

import logging
import os
import shutil
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from functools import cache
from multiprocessing import get_context
from multiprocessing.queues import Queue
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

from datamodules.errors import DataError
from datamodules.loading.dataset import Batch, ImageDataset
from datamodules.loading.sampling import Key
from datamodules.workers import CHECK_SECONDS, SilenceWatch, death_of, end_with, prefetch

log = logging.getLogger(__name__)

SHARED_MEMORY = Path("/dev/shm")  # of Linux, where torch shares tensors
SPARED = 0.25  # of it is left to others, such as semaphores and the exchange of gradients


class WorkerLoader(DataLoader):
    """A loader with worker processes, made by `make_loader`, which start with the first batch."""

    # The base promises an iterator class of its own, of which nobody uses more than `next`.
    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        """The batches, in order.

        Raises:
            DataError: a worker met one, was killed, or does nothing any more.
        """
        batches: Iterator[Any]
        try:
            get_context().Lock()  # what torch began and could not end, it would complain of later
            batches = super().__iter__()
        except OSError as error:  # processes or semaphores are used up
            log.warning(
                "Worker processes cannot be started (%s): this process prepares the batches.",
                error.strerror or error,
            )
            self.num_workers = self.timeout = 0
            batches = prefetch(super().__iter__())
        if threading.current_thread() is threading.main_thread():
            _report_deaths()
        try:
            yield from _awaited(batches)
        except Exception:
            # Else the workers end when this is collected as garbage: each after seconds.
            getattr(batches, "_shutdown_workers", lambda: None)()
            self._iterator = None
            raise


def _awaited(batches: Iterator[Any]) -> Iterator[Any]:
    watch = SilenceWatch()
    while True:
        try:
            batch = next(batches)
        except StopIteration:
            return
        except RuntimeError as error:
            if "DataLoader timed out" not in str(error):
                if isinstance(error.__cause__, DataError):  # of `_report_deaths`
                    raise error.__cause__ from None
                raise death_of(str(error)) or error from None
            watch.check()  # and wait on
            continue
        if isinstance(batch, Refusal):
            raise DataError(batch.sentence)
        watch = SilenceWatch()
        yield batch


def worker_settings(num_workers: int) -> dict[str, Any]:
    """Of a `WorkerLoader`, besides those of any loader."""
    return {
        "num_workers": num_workers,
        "persistent_workers": True,
        "collate_fn": _as_it_is,
        "worker_init_fn": _end_in_time,
        "timeout": CHECK_SECONDS,
    }


def _as_it_is(batch: Any) -> Any:
    return batch


class Refusal:
    """What a worker gives in place of a batch: torch would wrap the sentence in its traceback."""

    def __init__(self, sentence: str) -> None:
        self.sentence = sentence


class WorkerDataset(Dataset[Any]):
    """An `ImageDataset` whose batches can leave a worker process; others are as they were."""

    def __init__(self, dataset: ImageDataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, keys: list[Key]) -> "Batch | PipedBatch | Refusal":
        """The batch of some keys, as `ImageDataset` makes it."""
        if get_worker_info() is None:
            return self.dataset[keys]
        try:
            return share(self.dataset[keys])
        except DataError as error:
            return Refusal(str(error))


class PipedBatch:
    """A batch that is pickled by value, and is a plain one when it arrives."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch

    def __reduce__(self) -> tuple:
        images, labels, *rest = self.batch
        return _arrive, (images.numpy(), labels.numpy(), *rest)


def _arrive(images: Any, labels: Any, *rest: Any) -> tuple:
    _say_once()
    return torch.from_numpy(images), torch.from_numpy(labels), *rest


@cache
def _say_once() -> None:
    size = shutil.disk_usage(SHARED_MEMORY).total / 1e6 if SHARED_MEMORY.is_dir() else 0
    log.warning(
        "The shared memory (%s, %.0f MB) is too small for the batches of the workers, which come "
        "through pipes instead: equal, but slower; docker run --shm-size=2g gives more.",
        SHARED_MEMORY,
        size,
    )


def share(batch: Batch) -> Batch | PipedBatch:
    """Put a batch into shared memory, if there is room for it."""
    tensors = batch[:2]
    if not _has_room(sum(tensor.nbytes for tensor in tensors)):
        return PipedBatch(batch)
    try:
        for tensor in tensors:
            tensor.share_memory_()
    except RuntimeError:  # another process took the room, or files are used up
        return PipedBatch(batch)
    return batch


def _has_room(size: int) -> bool:
    try:
        found = shutil.disk_usage(SHARED_MEMORY)
    except OSError:  # a system that shares memory in another way
        return True
    return found.free - size >= SPARED * found.total


def _end_in_time(worker: int) -> None:
    """Let this worker end where nobody can use it: torch asks after its parent every 5 seconds."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the parent decides
    end_with(os.getppid())
    _end_where_sending_fails()


def _end_where_sending_fails() -> None:
    """Let this worker die, which is noticed, where it would drop a batch, which is not."""

    def end(error: Exception, batch: Any) -> None:
        if not isinstance(error, BrokenPipeError):  # of a parent that is gone
            traceback.print_exception(error)
            sys.stderr.flush()
        os._exit(1)

    # A hook of the standard library: by default the error is printed and the batch forgotten.
    Queue._on_queue_feeder_error = staticmethod(end)  # type: ignore[attr-defined]


@cache
def _report_deaths() -> None:
    """Let the signal by which torch hears of a dead worker raise a sentence, wherever it comes."""
    handle: Any = signal.getsignal(signal.SIGCHLD)

    def report(number: int, frame: FrameType | None) -> None:
        try:
            handle(number, frame)
        except RuntimeError as error:
            raise death_of(str(error)) or error from None

    if callable(handle):
        signal.signal(signal.SIGCHLD, report)
