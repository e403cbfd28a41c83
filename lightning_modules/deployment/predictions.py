"""What a classifier says of many images, and the files that it is written to.

A CSV table, or the competition's JSON.
"""

import csv
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import IO

import numpy as np

from lightning_modules.deployment.inference_model import Shipped
from lightning_modules.deployment.model_metadata import Facts
from lightning_modules.deployment.reading import ReadBatch
from lightning_modules.errors import ConfigError
from lightning_modules.files import write_json


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


class CsvTable:
    """Rows of file, class, probability (and the probabilities of all classes)."""

    def __init__(self, file: IO[str], facts: Facts, folder: Path, *, everything: bool) -> None:
        self.file, self.writer = file, csv.writer(file)
        self.names, self.folder, self.everything = facts.class_names, folder, everything
        columns = self.names if everything else ()
        self.writer.writerow(["file", "class", "probability", *columns])

    def add(self, said: Sequence[Said]) -> None:
        """Writes the rows of a batch, to the disk at once."""
        for one in said:
            every = one.probabilities if self.everything else ()
            row = [relative(one.file, self.folder), self.names[one.best]]
            values = (one.probabilities[one.best], *every)
            self.writer.writerow([*row, *(f"{value:.6f}" for value in values)])
        self.file.flush()


@contextmanager
def whole_or_absent(path: Path, *, at_once: bool = False) -> Iterator[IO[str]]:
    """A text file that is renamed to `path` when all is written; `at_once` writes there directly.

    Raises:
        ConfigError: the file cannot be written.
    """
    beside = path if at_once else path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("w", encoding="utf-8", newline="") as file:
            yield file
        beside.replace(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({error.strerror or error}).") from error
    finally:
        if beside != path:
            beside.unlink(missing_ok=True)


def write_submission(path: Path, classes: dict[str, str], *, seconds: float, facts: Facts) -> None:
    """`{"inference": {file: class}, "time": seconds, "macs": of one image}`.

    The MACs are counted as the 2021 leaderboard counted.
    """
    macs = facts.macs["leaderboard2021"]
    write_json(path, {"inference": classes, "time": seconds, "macs": macs})


def relative(file: str, folder: Path) -> str:
    """A file's path below the folder, with slashes."""
    return Path(file).relative_to(folder).as_posix()


def tell_bad(tally: Tally, folder: Path, most: int = 20) -> list[str]:
    """A line for each unreadable file, the first `most` of them."""
    lines = [f"skipped     {why}" for why in list(tally.bad.values())[:most]]
    more = len(tally.bad) - most
    return [*lines, f"            and {more} more in {folder}"] if more > 0 else lines
