"""Showing how far a long job or a download is: a bar on a terminal, plain lines elsewhere."""

import threading
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TypeVar

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn, track

Result = TypeVar("Result")


def report_progress(results: Iterable[Result], *, total: int | None, job: str) -> Iterator[Result]:
    """Pass `results` through, with a progress bar on a terminal and one plain line elsewhere."""
    console = Console()
    if console.is_terminal:
        return iter(track(results, job, total=total, console=console, transient=True))
    print(f"{job} ...", flush=True)
    return iter(results)


class DownloadProgress:
    """Counts files and bytes of all threads.

    The bar of many files fills with their number, that of a single one with its bytes.

    Args:
        job: what is downloaded.
        files: how many files will come.
        interval: seconds between plain lines.
    """

    def __init__(self, job: str, files: int, *, interval: float = 10.0) -> None:
        self.job = job
        self.files = files
        self.interval = interval
        self.done = self.failed = self.bytes = 0
        self._lock = threading.Lock()
        self._start = self._said = time.monotonic()
        console = Console()
        columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[text]}")
        self._bar = None
        if console.is_terminal:
            self._bar = Progress(*columns, TimeRemainingColumn(), console=console, transient=True)
            self._task = self._bar.add_task(job, total=None if files == 1 else files, text="")

    def __enter__(self) -> "DownloadProgress":
        if self._bar is not None:
            self._bar.start()
        else:
            print(f"{self.job} ...", flush=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def received(self, count: int, size: int, length: int | None) -> None:
        """A piece came: its bytes, those of its file so far, and those of the whole file."""
        with self._lock:
            self.bytes += count
            if self._bar is not None and self.files == 1:
                self._bar.update(self._task, completed=size, total=length)
            self._show()

    def finished(self, *, failed: bool) -> None:
        """A file came or did not."""
        with self._lock:
            self.done += not failed
            self.failed += failed
            if self._bar is not None and self.files > 1:
                self._bar.advance(self._task)
            self._show()

    def text(self) -> str:
        """`150 of 1500 files, 412.0 MB, 3.1 MB/s, 2 failed`."""
        seconds = max(time.monotonic() - self._start, 1e-3)
        parts = [f"{self.done} of {self.files} files"] if self.files > 1 else []
        parts += [decimal(self.bytes), f"{decimal(int(self.bytes / seconds))}/s"]
        return ", ".join(parts + ([f"{self.failed} failed"] if self.failed else []))

    def _show(self) -> None:
        if self._bar is not None:
            self._bar.update(self._task, text=self.text())
        elif time.monotonic() - self._said >= self.interval:
            self._said = time.monotonic()
            print(f"{self.job}  {self.text()}", flush=True)
