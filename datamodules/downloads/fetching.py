"""Fetching one file: as many tries as it takes, and its name only when it is whole and right."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import requests

from datamodules.downloads.failure import Failure, Stopped
from datamodules.downloads.limits import Hosts, Limits
from datamodules.downloads.partial_file import PartialFile
from datamodules.downloads.transfer import transfer
from datamodules.workers import DownloadProgress

MAX_REDIRECTS = 5


@dataclass(frozen=True)
class Target:
    """A file to fetch.

    Attributes:
        url: its address, http or https.
        path: where it shall lie.
        check: called with the path of the fetched bytes; raises `Failure` if they are wrong.
    """

    url: str
    path: Path
    check: Callable[[Path], None]


class Fetcher:
    """Fetches one file after the other over one session; each thread has its own.

    Args:
        limits: tries, seconds and bytes.
        hosts: shared by the threads.
        meter: told of every byte.
        stop: set when the whole download ends.
    """

    def __init__(
        self, *, limits: Limits, hosts: Hosts, meter: DownloadProgress, stop: threading.Event
    ) -> None:
        self.limits = limits
        self.hosts = hosts
        self.meter = meter
        self.stop = stop
        self.session = requests.Session()
        self.session.max_redirects = MAX_REDIRECTS
        self.session.headers["User-Agent"] = "model-diet"

    def fetch(self, target: Target) -> None:
        """Continue or begin the file, try again after failures, check it and name it.

        Raises:
            Failure: the last try's.
            Stopped: the whole download ends.
            OSError: the file cannot be written.
        """
        host = host_of(target.url)
        for attempt in range(1, self.limits.attempts + 1):
            self.hosts.wait_for(host)
            try:
                self._try(target)
                break
            except Failure as failure:
                if failure.wait is not None:
                    self.hosts.postpone(host, failure.wait)
                if failure.permanent or attempt == self.limits.attempts:
                    self.hosts.count(host, answered=not failure.unreachable)
                    raise
            self.hosts.sleep(self.limits.pause(attempt))
        self.hosts.count(host, answered=True)

    def _try(self, target: Target) -> None:
        part = PartialFile(target.path)
        transfer(
            target.url, part, session=self.session, limits=self.limits, received=self._received
        )
        try:
            target.check(part.path)
        except Failure:
            part.discard()
            raise
        part.finish()

    def _received(self, count: int, size: int, length: int | None) -> None:
        if self.stop.is_set():
            raise Stopped
        self.meter.received(count, size, length)


def host_of(url: str) -> str:
    """The server of an address.

    Raises:
        Failure: it is no address of the web; files of this machine, above all, are not read.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname
    except ValueError:
        usable = False
    if not usable:
        raise Failure(f"its address {url!r} is not one of http or https", permanent=True)
    return parts.netloc.rpartition("@")[2]
