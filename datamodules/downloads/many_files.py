"""Fetching many files at the same time."""

import queue
import threading
import time
from collections.abc import Sequence
from functools import partial

from datamodules.downloads.failure import Failure
from datamodules.downloads.fetching import Fetcher, Target
from datamodules.downloads.limits import Hosts, Limits
from datamodules.downloads.root_folder import write_missing
from datamodules.errors import DataError, unwritable
from datamodules.workers import DownloadProgress

JOIN_SECONDS = 2.0  # seconds for threads to end; what they leave is good to be continued anyway

Result = tuple[Target, Exception | None]


def fetch_one(target: Target, *, limits: Limits, job: str) -> None:
    """Fetch a file without which nothing goes on.

    Raises:
        DataError: it could not be had, which `missing.csv` beside it says too.
    """
    missing = fetch_all([target], limits=limits, job=job)
    write_missing(target.path.parent, missing)
    for reason in missing.values():
        raise DataError(
            f"{target.path} could not be had from {target.url}: {reason}; the same command tries "
            "again."
        )


def fetch_all(targets: Sequence[Target], *, limits: Limits, job: str) -> dict[Target, str]:
    """Fetch the files in parallel, and show how far it is.

    Args:
        targets: different paths.
        limits: tries, seconds, bytes and threads.
        job: what is shown beside the bar.

    Returns:
        Target -> reason, of the files that could not be had, in the order of `targets`.

    Raises:
        DataError: the disk is full or may not be written; nothing more was tried.
    """
    if not targets:
        return {}
    stop = threading.Event()
    done: queue.Queue[Result] = queue.Queue()
    waiting: queue.SimpleQueue[Target] = queue.SimpleQueue()
    for target in targets:
        waiting.put(target)
    with DownloadProgress(job, len(targets)) as meter:
        make = partial(Fetcher, limits=limits, hosts=Hosts(limits, stop), meter=meter, stop=stop)
        # Daemons: after Ctrl-C a thread that waits for a server does not hold the program up.
        threads = [
            threading.Thread(target=_work, args=(make(), waiting, done), daemon=True)
            for _ in range(min(limits.workers, len(targets)))
        ]
        for thread in threads:
            thread.start()
        try:
            reasons = _collect(done, len(targets), meter)
        finally:
            stop.set()
            _join(threads)
    return {target: reasons[target] for target in targets if target in reasons}


def _work(fetcher: Fetcher, waiting: queue.SimpleQueue, done: queue.Queue) -> None:
    while not fetcher.stop.is_set():
        try:
            target = waiting.get_nowait()
        except queue.Empty:
            return
        try:
            fetcher.fetch(target)
            done.put((target, None))
        except Exception as error:  # all of them are for the thread that collects
            done.put((target, error))


def _collect(done: queue.Queue, count: int, meter: DownloadProgress) -> dict[Target, str]:
    reasons = {}
    for _ in range(count):
        target, error = _next(done)
        if isinstance(error, OSError):
            raise unwritable(target.path, error) from error
        if isinstance(error, Failure):
            reasons[target] = str(error)
        elif error is not None:
            raise error
        meter.finished(failed=error is not None)
    return reasons


def _next(done: queue.Queue) -> Result:
    while True:
        try:
            return done.get(timeout=1.0)  # without a timeout Ctrl-C would not be heard everywhere
        except queue.Empty:
            continue


def _join(threads: list[threading.Thread]) -> None:
    end = time.monotonic() + JOIN_SECONDS
    for thread in threads:
        thread.join(max(end - time.monotonic(), 0.0))
