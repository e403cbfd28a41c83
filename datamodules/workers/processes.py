"""Doing very many jobs in processes, where Python's lock would hold threads up."""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import get_all_start_methods, get_context
from typing import TypeVar

from datamodules.errors import DataError
from datamodules.workers.threads import cores, map_in_order

Job = TypeVar("Job")
Result = TypeVar("Result")

CHUNK = 32  # jobs that are handed over at a time
MIN_JOBS = 4096  # jobs below which starting processes takes longer than it saves


def map_in_processes(
    function: Callable[[Job], Result], jobs: Iterable[Job], *, count: int
) -> Iterator[Result]:
    """`map` on all cores; results come in order, and only a few chunks of them are in memory.

    Few jobs, and all jobs where processes cannot be made, are done in threads instead.

    Args:
        function: picklable, and in need of nothing but this package and its argument.
        jobs: its arguments, picklable.
        count: how many jobs there are.
    """
    if count < MIN_JOBS or cores() == 1 or "fork" not in get_all_start_methods():
        yield from map_in_order(function, jobs)
        return
    try:
        # Forked, because a fresh interpreter would first import for seconds.
        executor = ProcessPoolExecutor(
            cores(), get_context("fork"), initializer=end_with, initargs=(os.getpid(),)
        )
    except (OSError, NotImplementedError):  # no semaphores: no shared memory, or it is full
        yield from map_in_order(function, jobs)
        return
    jobs = iter(jobs)
    with executor as pool:
        waiting: deque[Future[list[Result]]] = deque()
        try:
            while chunk := list(islice(jobs, CHUNK)):
                waiting.append(pool.submit(_do, function, chunk))
                if len(waiting) > 4 * cores():
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        except BrokenProcessPool as error:
            raise DataError(
                "A process that read images was killed, perhaps because the memory was full: free "
                "some, and start again."
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _do(function: Callable[[Job], Result], jobs: list[Job]) -> list[Result]:
    return [function(job) for job in jobs]


def end_with(parent: int) -> None:
    """End this process a second after its parent is gone: a killed one tells nobody.

    Args:
        parent: the process that started this one.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
