"""What a download may cost its user (tries, seconds and bytes) and the servers it asks."""

import random
import threading
import time
from collections import defaultdict
from dataclasses import dataclass

from datamodules.downloads.failure import Failure, Stopped
from datamodules.errors import DataError
from datamodules.schema import is_number


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How patiently files are fetched, and how large they may be.

    Attributes:
        workers: files fetched at the same time.
        attempts: tries for each file.
        backoff: seconds before the second try; doubled before each further one.
        longest_wait: seconds; a server that asks for more is asked again in another call.
        connect_timeout: seconds to open a connection.
        stall_timeout: seconds without an answer, or without new bytes, before a try ends.
        max_bytes: largest file that is taken.
    """

    workers: int = 8
    attempts: int = 5
    backoff: float = 1.0
    longest_wait: float = 300.0
    connect_timeout: float = 10.0
    stall_timeout: float = 30.0
    max_bytes: int = 256 * 2**20

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not is_number(value) or value < 0 or (value == 0 and name != "backoff"):
                raise DataError(f"{name}={value} is no limit for a download: it must be above 0.")

    def pause(self, attempt: int) -> float:
        """Seconds after try number `attempt`, from 1; a bit random, so that threads spread."""
        doubled = self.backoff * 2 ** (attempt - 1)
        return min(doubled * random.uniform(0.75, 1.25), self.longest_wait)


class Hosts:
    """Leaves a server alone while it asks for that, and for good when it does not answer.

    Shared by all threads: one `Retry-After` is meant for all of them, and without a network
    there is no use in trying each of a thousand files.

    Args:
        limits: `longest_wait`, and `workers`: so many files in a row without an answer are enough.
        stop: set when the whole download ends.
    """

    def __init__(self, limits: Limits, stop: threading.Event) -> None:
        self.limits = limits
        self.stop = stop
        self._resume_at: dict[str, float] = defaultdict(float)
        self._silent_files: dict[str, int] = defaultdict(int)
        self._lock = threading.Lock()

    def wait_for(self, host: str) -> None:
        """Sleep until the host may be asked.

        Raises:
            Failure: it wants to be left alone for too long, or has answered no file of many.
            Stopped: the download ends.
        """
        if self._silent_files[host] >= self.limits.workers:
            raise Failure(f"{host} does not answer", permanent=True)
        while (left := self._resume_at[host] - time.monotonic()) > 0:
            if left > self.limits.longest_wait:
                raise Failure(f"{host} asks to wait for {left:.0f} s", permanent=True)
            self.sleep(left)

    def sleep(self, seconds: float) -> None:
        """Wait; `Stopped` when the download ends meanwhile."""
        if self.stop.wait(seconds):
            raise Stopped

    def postpone(self, host: str, seconds: float) -> None:
        """Nobody asks the host for so long."""
        with self._lock:
            until = time.monotonic() + seconds
            self._resume_at[host] = max(until, self._resume_at[host])

    def count(self, host: str, *, answered: bool) -> None:
        """Called after the last try for a file: was there any answer?"""
        with self._lock:
            self._silent_files[host] = 0 if answered else self._silent_files[host] + 1
