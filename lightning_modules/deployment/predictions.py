"""What a model predicts for many images, and the files that it is written to.

A CSV table, or the competition's JSON.
"""

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import IO

import numpy as np

from datamodules.decoding import Notices, sentences
from datamodules.errors import shown
from lightning_modules.deployment.inference_model import InferenceModel
from lightning_modules.deployment.model_metadata import ModelMetadata
from lightning_modules.deployment.reading import ReadBatch
from lightning_modules.errors import ConfigError
from lightning_modules.files import whole_file


@dataclass(frozen=True)
class Prediction:
    """Of one image: its file and the probability of each class."""

    file: str
    probabilities: np.ndarray

    @property
    def top_class(self) -> int:
        """The most probable class; of equals the first."""
        return int(self.probabilities.argmax())


@dataclass
class PredictionStats:
    """What went by so far.

    Attributes:
        images: that were classified.
        unreadable: path of each unreadable file -> what is wrong with it.
        notices: what was odd about files that could be read -> those files.
        seconds: from the first image wanted to the last one classified.
        inference_seconds: seconds of these in which the network ran.
    """

    images: int = 0
    unreadable: dict[str, str] = field(default_factory=dict)
    notices: Notices = field(default_factory=dict)
    seconds: float = 0.0
    inference_seconds: float = 0.0

    @property
    def inference_ratio(self) -> float:
        """In which part of the seconds the network ran, in 0..1."""
        return self.inference_seconds / self.seconds if self.seconds else 0.0


def predict(
    model: InferenceModel, batches: Iterable[ReadBatch], stats: PredictionStats
) -> Iterator[list[Prediction]]:
    """The predictions of each batch, in order; `stats` is kept up meanwhile."""
    start = perf_counter() - stats.seconds
    for batch in batches:
        stats.unreadable |= batch.unreadable
        for notice, paths in batch.notices.items():
            stats.notices.setdefault(notice, []).extend(paths)
        predictions = []
        if batch.paths:
            begun = perf_counter()
            probabilities = model(batch.images)
            stats.inference_seconds += perf_counter() - begun
            predictions = [
                Prediction(*pair) for pair in zip(batch.paths, probabilities, strict=True)
            ]
        stats.images += len(predictions)
        stats.seconds = perf_counter() - start
        yield predictions


class CsvTable:
    """Rows of file, class, probability (and the probabilities of all classes)."""

    def __init__(
        self, file: IO[str], metadata: ModelMetadata, folder: Path, *, all_classes: bool
    ) -> None:
        self.file, self.writer = file, csv.writer(file)
        self.names, self.folder, self.all_classes = metadata.class_names, folder, all_classes
        columns = self.names if all_classes else ()
        self.writer.writerow(["file", "class", "probability", *columns])

    def add(self, predictions: Sequence[Prediction]) -> None:
        """Writes the rows of a batch, to the disk at once."""
        for one in predictions:
            every = one.probabilities if self.all_classes else ()
            row = [relative(one.file, self.folder), self.names[one.top_class]]
            values = (one.probabilities[one.top_class], *every)
            self.writer.writerow([*row, *(f"{value:.6f}" for value in values)])
        self.file.flush()


@contextmanager
def output_file(path: Path, *, at_once: bool = False) -> Iterator[IO[str]]:
    """A text file that is whole or absent; `at_once` lets others read what is there so far.

    Raises:
        ConfigError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        written = nullcontext(path) if at_once else whole_file(path)
        with written as part, part.open("w", encoding="utf-8", newline="") as file:
            yield file
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written ({error.strerror or error}); give another --out."
        ) from error


def write_submission(
    file: IO[str], classes: dict[str, str], *, seconds: float, metadata: ModelMetadata
) -> None:
    """`{"inference": {file: class}, "time": seconds, "macs": of one image}`.

    The MACs are counted as the 2021 leaderboard counted.
    """
    macs = metadata.macs["leaderboard2021"]
    json.dump({"inference": classes, "time": seconds, "macs": macs}, file, indent=2)
    file.write("\n")


def relative(file: str, folder: Path) -> str:
    """A file's path below the folder, with slashes, such as can be printed."""
    return shown(Path(file).relative_to(folder).as_posix())


def notice_lines(stats: PredictionStats) -> list[str]:
    """A line for each kind of flaw in spite of which files were read."""
    return [f"note        {sentence}" for sentence in sentences(stats.notices)]


def unreadable_lines(stats: PredictionStats, folder: Path, limit: int = 20) -> list[str]:
    """A line for each unreadable file, the first `limit` of them."""
    lines = [f"skipped     {why}" for why in list(stats.unreadable.values())[:limit]]
    more = len(stats.unreadable) - limit
    return [*lines, f"            and {more} more in {folder}"] if more > 0 else lines
