"""How many trials of a command ended, and how many of them raised."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any


class FailureRate:
    """Says when more trials raised than a search allows.

    Args:
        allowed: the largest fraction.
        numbers: that of ended trials, and that of raised ones; in shared memory for several
            processes.
        lock: over these.
    """

    def __init__(
        self,
        allowed: float,
        numbers: Any = None,
        lock: AbstractContextManager[Any] | None = None,
    ) -> None:
        self.allowed, self.lock = allowed, lock or nullcontext()
        self.numbers = [0, 0] if numbers is None else numbers

    def add(self, *, raised: bool) -> None:
        """Counts a trial."""
        with self.lock:
            self.numbers[0] += 1
            self.numbers[1] += raised

    @property
    def ended(self) -> int:
        """Trials that ended."""
        return self.numbers[0]

    @property
    def raised(self) -> int:
        """Trials that raised."""
        return self.numbers[1]

    @property
    def exceeded(self) -> bool:
        """Whether these are too many."""
        return self.raised > self.allowed * self.ended
