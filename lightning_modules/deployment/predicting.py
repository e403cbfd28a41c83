"""`predict`: what a classifier says of many images, and how long it took."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np

from lightning_modules.deployment.inference_model import Shipped
from lightning_modules.deployment.reading import ReadBatch


@dataclass(frozen=True)
class Said:
    """Of one image: its file and the probability of each class."""

    file: str
    probabilities: np.ndarray

    @property
    def best(self) -> int:
        """The most probable class; of equals the first."""
        return int(self.probabilities.argmax())


@dataclass
class Tally:
    """What went by so far.

    Attributes:
        images: that were classified.
        bad: path of each unreadable file -> what is wrong with it.
        seconds: from the first image wanted to the last one classified.
        busy: seconds of these in which the network ran.
    """

    images: int = 0
    bad: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    busy: float = 0.0

    @property
    def busy_share(self) -> float:
        return self.busy / self.seconds if self.seconds else 0.0


def predict(shipped: Shipped, batches: Iterable[ReadBatch], tally: Tally) -> Iterator[list[Said]]:
    """Lists of what is said of each batch, in order; `tally` is kept up meanwhile."""
    start = perf_counter() - tally.seconds
    for batch in batches:
        tally.bad |= batch.bad
        said = []
        if batch.paths:
            begun = perf_counter()
            probabilities = shipped(batch.images)
            tally.busy += perf_counter() - begun
            said = [Said(*pair) for pair in zip(batch.paths, probabilities, strict=True)]
        tally.images += len(said)
        tally.seconds = perf_counter() - start
        yield said
