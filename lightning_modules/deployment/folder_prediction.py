"""Predictions for a folder of images: for those that are there, or for those that come."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from datamodules.decoding import sentences
from datamodules.screen import ScreenTable
from datamodules.workers import report_progress
from lightning_modules.config import table_console
from lightning_modules.deployment.inference_model import InferenceModel
from lightning_modules.deployment.predictions import (
    CsvTable,
    Prediction,
    PredictionStats,
    notice_lines,
    output_file,
    predict,
    relative,
    unreadable_lines,
    write_submission,
)
from lightning_modules.deployment.reading import ReadBatch, new_images, read_batches
from lightning_modules.errors import ConfigError

SHOWN = 20  # rows on the screen


def predict_folder(
    model: InferenceModel,
    folder: Path,
    paths: list[str],
    out: Path,
    *,
    form: Literal["csv", "submission"],
    all_classes: bool,
    batch_size: int,
) -> PredictionStats:
    """Predicts all images of a folder, writes the file and prints the table.

    Args:
        model: that predicts.
        folder: below which the images lie; rows name them relative to it.
        paths: of the images.
        out: the file.
        form: a CSV table, or the JSON of the 2021 competition.
        all_classes: a column for each class as well.
        batch_size: images a call.

    Raises:
        ConfigError: none of the images can be read, or the file cannot be written.
    """
    stats, first, counts = PredictionStats(), list[Prediction](), Counter[str]()
    classes: dict[str, str] = {}
    names = model.metadata.class_names
    batches = report_progress(
        _read(model, paths, batch_size),
        total=-(-len(paths) // batch_size),
        job=f"Classifying {len(paths)} images",
    )
    with output_file(out) as file:
        table = None
        if form == "csv":
            table = CsvTable(file, model.metadata, folder, all_classes=all_classes)
        for predictions in predict(model, batches, stats):
            first += predictions[: SHOWN - len(first)]
            counts.update(names[one.top_class] for one in predictions)
            if table is not None:
                table.add(predictions)
            else:
                classes |= {relative(one.file, folder): names[one.top_class] for one in predictions}
        if not stats.images:
            reasons = list(stats.unreadable.values())
            if len(reasons) == 1:
                raise ConfigError(f"None of the images can be read: {reasons[0]}")
            raise ConfigError("\n".join(["None of the images can be read.", *reasons]))
        if table is None:
            write_submission(file, classes, seconds=stats.seconds, metadata=model.metadata)
    _show(first, counts, names, folder)
    for line in [*notice_lines(stats), *unreadable_lines(stats, folder)]:
        print(line)
    return stats


def watch_folder(
    model: InferenceModel, folder: Path, out: Path, *, all_classes: bool, batch_size: int
) -> None:
    """Predicts each image that comes into the folder, until Ctrl-C; rows are written at once.

    Raises:
        ConfigError: the file cannot be written.
        DataError: there is no such folder, at the start or later.
    """
    stats, names = PredictionStats(), model.metadata.class_names
    with output_file(out, at_once=True) as file:
        table = CsvTable(file, model.metadata, folder, all_classes=all_classes)
        print(f"watching    {folder}; rows go to {out}; Ctrl-C ends", flush=True)
        try:
            for predictions in predict(model, _arriving(model, folder, batch_size), stats):
                table.add(predictions)
                for one in predictions:
                    name, top = relative(one.file, folder), one.top_class
                    print(f"{name}  {names[top]}  {one.probabilities[top]:.4f}", flush=True)
        except KeyboardInterrupt:
            print(f"classified  {stats.images} images, {len(stats.unreadable)} skipped; see {out}")


def summary(stats: PredictionStats, folder: Path, out: Path) -> list[str]:
    """How many images, how fast, and where the file is: lines for a person."""
    rate = stats.images / stats.seconds if stats.seconds else 0.0
    return [
        f"classified  {stats.images:,} images of {folder}, {len(stats.unreadable):,} skipped",
        f"time        {stats.seconds:.2f} s, {rate:,.0f} images/s; the network was busy "
        f"{stats.inference_ratio:.0%} of it",
        f"file        {out}",
    ]


def _read(model: InferenceModel, paths: list[str], batch_size: int) -> Iterator[ReadBatch]:
    metadata = model.metadata
    return read_batches(
        paths,
        size=metadata.image_size,
        resize_mode=metadata.resize_mode,
        batch_size=batch_size,
        levels=metadata.levels,
    )


def _arriving(model: InferenceModel, folder: Path, batch_size: int) -> Iterator[ReadBatch]:
    for paths in new_images(folder):
        for batch in _read(model, paths, batch_size):
            for sentence in batch.unreadable.values():
                print(f"skipped     {sentence}", flush=True)
            for sentence in sentences(batch.notices):
                print(f"note        {sentence}", flush=True)
            yield batch


def _show(
    first: list[Prediction], counts: Counter[str], names: tuple[str, ...], folder: Path
) -> None:
    """Prints the first rows, and how many images were given each class."""
    table = ScreenTable()
    table.add_column("file")
    table.add_column("class")
    table.add_column("probability", number=True)
    for one in first:
        name, top = relative(one.file, folder), one.top_class
        table.add_row(name, names[top], f"{one.probabilities[top]:.4f}")
    table.print(table_console())
    rest = counts.total() - len(first)
    if rest > 0:
        print(f"            and {rest:,} more")
    print(f"classes     {', '.join(f'{name} {counts[name]:,}' for name in names)}")
