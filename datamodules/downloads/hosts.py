"""What is known of servers while many files come from them."""

import threading
import time
from collections import defaultdict

from datamodules.downloads.failure import Failure, Stopped
from datamodules.downloads.limits import Limits


class Hosts:
    """Leaves a server alone while it asks for that, and for good when it does not answer.

    Shared by all threads: one `Retry-After` is meant for all of them, and without a network
    there is no use in trying each of a thousand files.

    Args:
        limits: `longest_wait`, and `workers`: so many files in a row without an answer are enough.
        stop: Set when the whole download ends.
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
