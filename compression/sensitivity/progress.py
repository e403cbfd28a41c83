"""A word now and then on how far a long scan is."""

import logging
from time import perf_counter

log = logging.getLogger(__name__)
SECONDS = 30.0  # between two words


class Progress:
    """Tells how far a scan is, at most every half minute.

    Args:
        job: what is done, in a few words.
    """

    def __init__(self, job: str) -> None:
        self.job, self.told = job, perf_counter()

    def tell(self, points: int, layer: str) -> None:
        """Log the number of points and the layer that it is at, where it is time to."""
        if perf_counter() - self.told > SECONDS:
            log.info(f"{self.job}: {points} points, now {layer}")
            self.told = perf_counter()
