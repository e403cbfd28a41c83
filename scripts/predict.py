"""Classifies the images of a folder: `python scripts/predict.py RUN|FILE FOLDER [--all]`."""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from datamodules.workers.progress import report_progress
from datamodules.workers.threads import cores
from lightning_modules.config.command_line import report_errors
from lightning_modules.deployment.reading import list_images, new_images, read_batches
from lightning_modules.errors import ConfigError

if TYPE_CHECKING:  # they load torch, which waits until the names are checked
    from lightning_modules.deployment.inference_model import InferenceModel
    from lightning_modules.deployment.predictions import Prediction, PredictionStats

DEFAULT_OUT = {"csv": "predictions.csv", "submission": "submission.json"}
SHOWN = 20  # rows on the screen
INTERRUPTED = 130


def main() -> None:
    """Parses the command line and predicts."""
    flags = _parser().parse_intermixed_args()
    names = [word for word in flags.words if "=" not in word]
    overrides = [word for word in flags.words if "=" in word]
    if len(names) != 2:
        raise ConfigError(
            f"Name a run (or an exported file) and a folder of images; {len(names)} given."
        )
    if flags.batch < 1:
        raise ConfigError(f"--batch {flags.batch}: it must be 1 or more.")
    if flags.watch and flags.format != "csv":
        raise ConfigError("--watch adds rows as images come, which only --format csv can.")
    if flags.all and flags.format != "csv":
        raise ConfigError("--all adds columns, which only --format csv has.")
    folder, out = Path(names[1]), Path(flags.out or DEFAULT_OUT[flags.format])
    if out.is_dir():
        raise ConfigError(f"--out {out} is a directory; give the name of a file.")
    paths = [] if flags.watch else list_images(folder)

    from lightning_modules.deployment.load_model import find_model, open_model

    model = open_model(find_model(names[0], overrides), overrides, threads=cores())
    model.warm_up()
    if flags.watch:
        watch(model, folder, out, batch=flags.batch, all_classes=flags.all)
        return
    stats = classify(model, paths, folder, out, flags)
    for line in summary(stats, folder, out):
        print(line)


def classify(
    model: "InferenceModel", paths: list[str], folder: Path, out: Path, flags: argparse.Namespace
) -> "PredictionStats":
    """Predicts all images of a folder, writes the file and prints the table.

    Raises:
        ConfigError: none of the images can be read, or the file cannot be written.
    """
    from lightning_modules.deployment.predictions import (
        CsvTable,
        PredictionStats,
        predict,
        relative,
        unreadable_lines,
        whole_or_absent,
        write_submission,
    )

    stats, first, counts, classes = PredictionStats(), [], Counter(), {}
    batches = read_batches(
        paths,
        size=model.metadata.image_size,
        resize_mode=model.metadata.resize_mode,
        batch_size=flags.batch,
    )
    total = -(-len(paths) // flags.batch)
    batches = report_progress(batches, total=total, job=f"Classifying {len(paths)} images")
    names = model.metadata.class_names
    with whole_or_absent(out) as file:
        table = CsvTable(file, model.metadata, folder, all_classes=flags.all)
        for predictions in predict(model, batches, stats):
            first += predictions[: SHOWN - len(first)]
            counts.update(names[one.top_class] for one in predictions)
            if flags.format == "csv":
                table.add(predictions)
            else:
                classes |= {relative(one.file, folder): names[one.top_class] for one in predictions}
        if not stats.images:
            raise ConfigError(
                "\n".join(["None of the images can be read.", *stats.unreadable.values()])
            )
    if flags.format == "submission":
        write_submission(out, classes, seconds=stats.seconds, metadata=model.metadata)
    show(first, counts, model, folder)
    for line in unreadable_lines(stats, folder):
        print(line)
    return stats


def watch(
    model: "InferenceModel", folder: Path, out: Path, *, batch: int, all_classes: bool
) -> None:
    """Predicts each image that comes into the folder, until Ctrl-C; rows are written at once."""
    from lightning_modules.deployment.predictions import (
        CsvTable,
        PredictionStats,
        predict,
        relative,
        whole_or_absent,
    )

    metadata, stats = model.metadata, PredictionStats()
    arriving = _arriving(
        folder, size=metadata.image_size, resize_mode=metadata.resize_mode, batch_size=batch
    )
    with whole_or_absent(out, at_once=True) as file:
        table = CsvTable(file, metadata, folder, all_classes=all_classes)
        print(f"watching    {folder}; rows go to {out}; Ctrl-C ends", flush=True)
        try:
            for predictions in predict(model, arriving, stats):
                table.add(predictions)
                for one in predictions:
                    name = relative(one.file, folder)
                    chance = one.probabilities[one.top_class]
                    print(
                        f"{name}  {metadata.class_names[one.top_class]}  {chance:.4f}", flush=True
                    )
        except KeyboardInterrupt:
            print(f"classified  {stats.images} images, {len(stats.unreadable)} skipped; see {out}")


def _arriving(folder: Path, **settings: object) -> Iterator:
    for paths in new_images(folder):
        for batch in read_batches(paths, **settings):
            for sentence in batch.unreadable.values():
                print(f"skipped     {sentence}", flush=True)
            yield batch


def show(first: "list[Prediction]", counts: Counter, model: "InferenceModel", folder: Path) -> None:
    """Prints the first rows, and how many images were given each class."""
    from lightning_modules.deployment.predictions import relative

    names = model.metadata.class_names
    table = Table("file", "class")
    table.add_column("probability", justify="right")
    for one in first:
        name, best = relative(one.file, folder), one.top_class
        table.add_row(Text(name), Text(names[best]), f"{one.probabilities[best]:.4f}")
    console = Console(width=None if sys.stdout.isatty() else 110)
    console.print(table)
    rest = counts.total() - len(first)
    if rest > 0:
        print(f"            and {rest:,} more")
    print(f"classes     {', '.join(f'{name} {counts[name]:,}' for name in names)}")


def summary(stats: "PredictionStats", folder: Path, out: Path) -> list[str]:
    """How many images, how fast, and where the file is."""
    rate = stats.images / stats.seconds if stats.seconds else 0.0
    return [
        f"classified  {stats.images:,} images of {folder}, {len(stats.unreadable):,} skipped",
        f"time        {stats.seconds:.2f} s, {rate:,.0f} images/s; the network was busy "
        f"{stats.inference_ratio:.0%} of it",
        f"file        {out}",
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Classifies the images of a folder (and those below it) with a saved network "
        "or an exported file.",
        usage="%(prog)s RUN|FILE FOLDER [key=value ...] [--flags]",
        epilog="RUN: a run directory, or `last`. FILE: of scripts/export.py (.onnx, .pt2, "
        ".xml, .pte). "
        "key=value: Hydra overrides over the run's configuration, such as data.fit=pad.",
    )
    parser.add_argument("words", nargs="+", metavar="RUN|FILE FOLDER")
    parser.add_argument("--all", action="store_true", help="a column for each class as well")
    parser.add_argument(
        "--format",
        choices=tuple(DEFAULT_OUT),
        default="csv",
        help="csv (default), or the JSON of the 2021 competition: inference, time, macs",
    )
    parser.add_argument(
        "--out", metavar="FILE", help=f"default {' or '.join(DEFAULT_OUT.values())}"
    )
    parser.add_argument("--batch", type=int, default=64, metavar="N", help="default 64")
    parser.add_argument(
        "--watch", action="store_true", help="go on with the images that come, until Ctrl-C"
    )
    return parser


if __name__ == "__main__":
    with report_errors():
        try:
            main()
        except KeyboardInterrupt:
            print("Interrupted; nothing was written.", file=sys.stderr)
            raise SystemExit(INTERRUPTED) from None
