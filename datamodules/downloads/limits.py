"""What a download may cost: tries, seconds and bytes."""

import random
from dataclasses import dataclass

from datamodules.errors import DataError
from datamodules.schema import is_number


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How patiently files are fetched, and how large they may be.

    Attributes:
        workers: Files fetched at the same time.
        attempts: Tries for each file.
        backoff: Seconds before the second try; doubled before each further one.
        longest_wait: Seconds; a server that asks for more is asked again in another call.
        connect_timeout: Seconds to open a connection.
        stall_timeout: Seconds without an answer, or without new bytes, before a try ends.
        max_bytes: Largest file that is taken.
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
