"""Compares networks in several backends: `python scripts/benchmark.py RUN|FILE... [backends=...]`.

Latency, throughput, memory, file size and F1 in one table, all measured alternately in one run.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import astuple, fields
from pathlib import Path
from typing import TYPE_CHECKING

from datamodules.screen import ScreenTable
from lightning_modules.config import OwnKey, ScriptParser, named_run, run_script, table_console
from lightning_modules.deployment import (
    BACKENDS,
    Format,
    backend_named,
    format_named,
    format_of,
    name_of,
    require_used,
)
from lightning_modules.errors import ConfigError
from lightning_modules.files import write_text

if TYPE_CHECKING:  # they load torch, which waits until the names are checked
    from lightning_modules.deployment import Row
    from lightning_modules.deployment.schema import BenchmarkSettings

KEYS = {
    "backends": OwnKey(
        "LIST",
        f"of {', '.join(BACKENDS.paths)}, or {{_target_: ...}} of your own",
        "eager,onnxruntime",
    ),
    "threads": OwnKey("N", "of each backend", "1"),
    "repeats": OwnKey("N", "timed calls of each", "50"),
    "batches": OwnKey("LIST", "to choose the best from", "1,2,4,8,16,32,64"),
    "format": OwnKey("NAME", "of files in a format of your own"),
}

HEADINGS = (
    "network",
    "backend",
    "ms, 1 image",
    "IQR",
    "best batch",
    "ms a batch",
    "IQR",
    "images/s",
    "peak MB",
    "file bytes",
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parses the command line, measures, and prints one table."""
    typed = _parser().parse(arguments)
    names, flags, overrides = typed.names, typed.flags, typed.overrides
    if not names:
        raise ConfigError("No run was named; give a run directory, `last`, or an exported file.")

    from lightning_modules.deployment.schema import BenchmarkSettings  # pydantic: not for `--help`

    settings = typed.settings(BenchmarkSettings)
    backends = {name_of(value): value for value in settings.backends}
    for value in backends.values():
        backend_named(value)
    form = None if settings.format is None else format_named(settings.format)
    if flags.figure and Path(flags.figure).suffix.lower() != ".png":
        raise ConfigError(f"--figure {flags.figure}: it is a PNG; give a name that ends with .png.")
    sources = {name: source_named(name, overrides, form) for name in names}
    require_used(form, sources.values())

    from lightning_modules.deployment import benchmark  # torch: once the checks passed

    rows = benchmark(
        sources,
        overrides,
        backends=[*backends.values()],
        threads=settings.threads,
        repeats=settings.repeats,
        batches=settings.batches,
        named=form,
    )
    show(rows, settings)
    if flags.csv:
        write_text(Path(flags.csv), to_csv(rows, settings))
        print(f"csv         {flags.csv}")
    if flags.figure:
        print(f"figure      {draw(rows, Path(flags.figure), settings)}")


def source_named(name: str, overrides: list[str], form: Format | None) -> Path:
    """The run directory or the exported file that is meant.

    Raises:
        ConfigError: there is none, or it cannot be opened here.
    """
    if Path(name).is_file():
        format_of(Path(name), form)
        return Path(name)
    return named_run(name, overrides).path


def show(rows: "list[Row]", settings: "BenchmarkSettings") -> None:
    """Prints the table, the fastest first, and how it was measured."""
    table = ScreenTable()
    for heading in HEADINGS:
        table.add_column(heading, number=heading not in HEADINGS[:2])
    table.add_column(_f1_heading(rows), number=True)
    for row in sorted(rows, key=lambda row: row.timing.one_ms):
        table.add_row(*_cells(row))
    table.print(table_console())
    print(under(settings))
    print(
        "memory: of a process of its own at the best batch, loading and compiling included; file: "
        "what the backend is given"
    )


def _f1_heading(rows: "list[Row]") -> str:
    splits = sorted({row.split for row in rows if row.split})
    return f"F1 ({' or '.join(splits)})" if splits else "F1"


def _cells(row: "Row") -> list[str]:
    timing = row.timing
    several = row.split if row.f1 is not None else ""
    return [
        row.network,
        row.backend,
        f"{timing.one_ms:.3f}",
        f"{timing.one_iqr_ms:.3f}",
        str(timing.batch),
        f"{timing.batch_ms:.3f}",
        f"{timing.batch_iqr_ms:.3f}",
        f"{timing.throughput:,.0f}",
        f"{row.memory / 1e6:,.0f}",
        f"{row.file_bytes:,}",
        "no data" if row.f1 is None else f"{row.f1:.4f} {several}",
    ]


def under(settings: "BenchmarkSettings") -> str:
    """How the table was measured."""
    from compression.latency import processor

    return (
        f"{processor()}, {settings.threads} thread(s), medians of {settings.repeats} calls; all "
        "rows measured alternately"
    )


def to_csv(rows: "list[Row]", settings: "BenchmarkSettings") -> str:
    """The same rows, unrounded."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    timings = [field.name for field in fields(rows[0].timing)]
    costs = ("images_per_second", "peak_bytes", "file_bytes")
    writer.writerow(["network", "backend", *timings, *costs, "f1", "split", "threads", "repeats"])
    for row in rows:
        numbers = [*astuple(row.timing), row.timing.throughput, row.memory, row.file_bytes]
        quality = [row.f1, row.split, settings.threads, settings.repeats]
        writer.writerow([row.network, row.backend, *numbers, *quality])
    return file.getvalue()


def draw(rows: "list[Row]", path: Path, settings: "BenchmarkSettings") -> Path:
    """Saves F1 against the latency of one image.

    Raises:
        ConfigError: no F1 is known, or the picture cannot be written.
    """
    from lightning_modules.reporting.pictures import Point, draw_tradeoff, fonts, save

    points = [
        Point(f"{Path(row.network).name}, {row.backend}", row.timing.one_ms, row.f1)
        for row in rows
        if row.f1 is not None
    ]
    if not points:
        raise ConfigError("--figure needs an F1, and the data of none of the runs is there.")
    with fonts():
        figure = draw_tradeoff(points, title=_f1_heading(rows), under=under(settings))
        return save(figure, path)


def _parser() -> ScriptParser:
    parser = ScriptParser(
        description="Measures saved networks in several backends, and exported files, alternately "
        "in one run: latency of one image and of the best batch, throughput, peak memory, file "
        "size, F1.",
        usage="RUN|FILE... [backends=...] [key=value ...] [--flags]",
        keys=KEYS,
    )
    parser.add_argument("--figure", metavar="FILE.png", help="save F1 against latency")
    parser.add_argument("--csv", metavar="FILE", help="also write the table, unrounded")
    return parser


if __name__ == "__main__":
    run_script(main)
