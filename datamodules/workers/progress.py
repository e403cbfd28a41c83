"""Showing how far a long job is."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import track

Step = TypeVar("Step")


def report_progress(steps: Iterable[Step], *, total: int, job: str) -> Iterator[Step]:
    """Pass `steps` through, with a progress bar on a terminal and one plain line elsewhere."""
    console = Console()
    if console.is_terminal:
        return iter(track(steps, job, total=total, console=console, transient=True))
    print(f"{job} ...", flush=True)
    return iter(steps)
