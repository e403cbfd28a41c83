"""Doing many jobs in threads, with few of them waiting at a time, and fetching ahead."""

import os
import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")
Value = TypeVar("Value")

PREFETCHED = 2  # fetched values that wait at most
POLL_SECONDS = 0.1  # seconds after which a thread looks whether it is still wanted


def cores() -> int:
    """Processor cores this process may use, which may be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def map_in_order(
    function: Callable[[Job], Result], jobs: Iterable[Job]
) -> Generator[Result, None, None]:
    """`map` on all cores; results come in order, and only a few per core are held in memory."""
    with ThreadPoolExecutor(cores()) as pool:
        waiting: deque[Future[Result]] = deque()
        for job in jobs:
            waiting.append(pool.submit(function, job))
            if len(waiting) > 4 * cores():
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def prefetch(values: Iterator[Value]) -> Generator[Value, None, None]:
    """Pass `values` through, in order, fetched in a thread up to `PREFETCHED` of them in advance.

    Whatever fetching raises is raised here. The thread ends with the iterator, whole or not.
    """
    ready: queue.Queue[tuple[str, Any]] = queue.Queue(PREFETCHED)
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
            ready.put(entry, timeout=POLL_SECONDS)
        except queue.Full:
            continue
        return True
    return False
