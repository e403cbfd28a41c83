"""What compression that sees the data keeps, and what a saved MAC is worth in milliseconds.

`python scripts/bench/data_aware.py FOLDER [--only BLOCK|NETWORK] [--shared DIR] [--table FILE]`

Fills scripts/bench/data_aware.csv row by row, as soon as one is measured; a row that stands in it
is skipped, so the command can be given again at any time, and a line that is deleted is measured
anew. `data_aware_rows` says what the rows are. FOLDER keeps the trained networks that they start
from and a run that was interrupted; what is missing there is made anew. All rows of a network are
measured in one process of their own. macro-F1 is that of the last epoch on the validation images,
costs are ratios of the network that was treated, and latencies (right after surgery: of seed 0)
medians of three comparisons in which both networks alternate.

`--show` measures nothing and prints the table: means and standard deviations over seeds.
"""

import multiprocessing
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import groupby
from pathlib import Path

from lightning_modules.config import ScriptParser, run_script
from lightning_modules.errors import ConfigError
from scripts.bench.data_aware_bases import SHARED, RunFailedError
from scripts.bench.data_aware_rows import BLOCKS, Row
from scripts.bench.data_aware_table import Measured, append_row, read_rows, table

TABLE = Path(__file__).with_suffix(".csv")


def rows(only: Sequence[str] = ()) -> list[Row]:
    """All rows, or those of some blocks and networks.

    Raises:
        ConfigError: there is no such block or network.
    """
    every = [row for block in BLOCKS.values() for row in block()]
    known = dict.fromkeys([*BLOCKS, *(row.base for row in every)])
    for word in only:
        if word not in known:
            raise ConfigError(f"There is no {word}; there are {', '.join(known)}.")
    blocks, bases = ([word for word in only if (word in BLOCKS) == own] for own in (True, False))
    return [
        row
        for row in every
        if (not blocks or row.block in blocks) and (not bases or row.base in bases)
    ]


def measured(wanted: Sequence[Row], folder: Path, shared: Path) -> Iterator[tuple[Row, Measured]]:
    """Each row with what it found; its `failed` says why it found nothing."""
    context = multiprocessing.get_context("spawn")
    for base, group in groupby(wanted, key=lambda row: row.of):
        try:
            base.train(folder, shared)
        except RunFailedError as error:
            yield from ((row, {"failed": str(error)}) for row in group)
            continue
        with ProcessPoolExecutor(1, context) as process:
            for row in group:
                try:
                    yield row, process.submit(_measure, row, folder, shared).result()
                except Exception as error:  # one row is not to end the table
                    yield row, {"failed": f"{type(error).__name__}: {error}"}


def _measure(row: Row, folder: Path, shared: Path) -> Measured:
    """In a process of its own, the same one for all rows of a base."""
    from scripts.bench.data_aware_measures import measure  # torch

    return measure(row, folder, shared)


def main(arguments: Sequence[str] | None = None) -> None:
    """Fills the table row by row and prints it."""
    typed = _parser().parse(arguments)
    flags, found = typed.flags, read_rows(typed.flags.table)
    chosen = rows(flags.only)
    failures = []
    if not flags.show:
        if len(typed.names) != 1:
            raise ConfigError("Name one folder, which the trained networks are to lie in.")
        folder, shared = Path(typed.names[0]).resolve(), flags.shared.resolve()
        missing = [row for row in chosen if row.key not in found]
        for number, (row, result) in enumerate(measured(missing, folder, shared), start=1):
            name = " ".join(part for part in row.key if part)
            print(f"{number}/{len(missing)} {name}: {_told(result)}", flush=True)
            if "failed" in result:
                failures.append(f"{name}: {result['failed']}")
            else:
                append_row(flags.table, row, result)
                shutil.rmtree(row.run(folder), ignore_errors=True)
        found = read_rows(flags.table)
    print(table(chosen, found))
    if failures:
        raise SystemExit("\n".join(["error: these rows are still open", *failures]))


def _told(result: Measured) -> str:
    return ", ".join(f"{name} {value}" for name, value in result.items() if value)


def _parser() -> ScriptParser:
    parser = ScriptParser(
        description=__doc__,
        usage="FOLDER [--only BLOCK|NETWORK] [--shared DIR] [--table FILE] [--show]",
        overrides=False,
    )
    parser.add_argument(
        "--only", action="append", default=[], metavar="BLOCK|NETWORK", help="leave the others"
    )
    parser.add_argument("--shared", type=Path, default=SHARED, help="where data/ and weights/ lie")
    parser.add_argument("--table", type=Path, default=TABLE, help="another file")
    parser.add_argument("--show", action="store_true", help="measure nothing; print the table")
    return parser


if __name__ == "__main__":
    run_script(main)
