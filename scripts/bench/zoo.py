"""What every step and format makes of the networks of the zoo, filled in by one resumable command.

`python scripts/bench/zoo.py [NETWORK ...] [--column COLUMN] [--again | --failed]`

Fills scripts/bench/zoo.csv cell by cell, as soon as one is measured, column by column from the
left; what is there is kept, so the command can be given again at any time. Every network is a
process of its own. `zoo_cells` says what the words in a cell mean. `--again` measures the chosen
cells anew, `--failed` those of them that say something failed.
"""

import csv
import io
import multiprocessing
import time
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from multiprocessing.connection import Connection
from pathlib import Path

from compression.files import write_text
from lightning_modules.config import ScriptParser, run_script
from lightning_modules.errors import ConfigError

TABLE = Path(__file__).with_suffix(".csv")
LIMIT = 600.0  # seconds for one cell
SUCCESS = ("reached", "equal", "yes", "not applicable", "not installed")

Table = dict[str, dict[str, str]]  # network -> column -> what the cell says


def read_table(path: Path = TABLE) -> Table:
    """The cells that were measured; `px` is among the columns."""
    if not path.is_file():
        return {}
    with path.open(newline="") as file:
        return {row.pop("network"): row for row in csv.DictReader(file)}


def write_table(table: Table, columns: Sequence[str], path: Path = TABLE) -> None:
    """All rows, in the order of the table."""
    text = io.StringIO()
    header = ["network", "px", *columns]
    writer = csv.DictWriter(text, header, restval="", lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows({"network": name, **row} for name, row in table.items())
    write_text(path, text.getvalue())


def succeeded(cell: str) -> bool:
    """Whether what a cell says is no failure."""
    return cell.startswith(SUCCESS)


def measured(name: str, columns: Sequence[str], limit: float = LIMIT) -> Iterator[tuple[str, str]]:
    """(column, what it says) of one network, `px` first; a process that dies costs one cell."""
    missing = ["px", *columns]
    while missing:
        context = multiprocessing.get_context("spawn")
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_measure, args=(name, missing, sender), daemon=True)
        process.start()
        sender.close()
        try:
            while missing and receiver.poll(limit):
                yield missing.pop(0), receiver.recv()
            if missing:
                yield missing.pop(0), f"after training: not done within {limit:.0f} s"
        except EOFError:
            process.join()
            yield missing.pop(0), f"after training: the process ended with {process.exitcode}"
        finally:
            process.kill()
            process.join()


def _measure(name: str, columns: Sequence[str], sender: Connection) -> None:
    """In a process of its own: one message for each column."""
    from scripts.bench.zoo_cells import COLUMNS, Case

    case = Case(name)
    for column in columns:
        if column == "px":
            sender.send(str(case.size))
            continue
        try:
            cell = COLUMNS[column](case)
        except Exception as error:  # it is to be in the table, not to end it
            cell = f"crashed: {type(error).__name__}: {error}"
        sender.send(" ".join(cell.split())[:300])


def main(arguments: Sequence[str] | None = None) -> None:
    """Fills the table and prints each cell as it comes."""
    from scripts.bench.zoo_cells import COLUMNS, NOT_INSTALLED
    from scripts.bench.zoo_networks import NETWORKS

    typed = _parser().parse(arguments)
    names, columns = typed.names or [*NETWORKS], typed.flags.column or [*COLUMNS]
    for word, known in [(n, NETWORKS) for n in names] + [(c, COLUMNS) for c in columns]:
        if word not in known:
            raise ConfigError(f"There is no {word}; there are {', '.join(known)}.")
    found = read_table(typed.flags.table)
    table: Table = {name: found[name] for name in NETWORKS if name in found}

    def wanted(name: str) -> list[str]:
        row = table.get(name, {})
        cells = {column: row.get(column, "") for column in columns}
        if typed.flags.again:
            return columns
        if typed.flags.failed:
            return [column for column, cell in cells.items() if cell and not succeeded(cell)]
        return [
            column
            for column, cell in cells.items()
            if not cell or (cell == NOT_INSTALLED and find_spec(column) is not None)
        ]

    for name in names:
        start = time.perf_counter()
        for column, cell in measured(name, wanted(name)) if wanted(name) else ():
            table.setdefault(name, {})[column] = cell
            ordered = {known: table[known] for known in NETWORKS if known in table}
            write_table(ordered, [*COLUMNS], typed.flags.table)
            print(f"{name} {column} ({time.perf_counter() - start:.0f} s): {cell}", flush=True)
            start = time.perf_counter()


def _parser() -> ScriptParser:
    parser = ScriptParser(
        description=__doc__,
        usage="[NETWORK ...] [--column COLUMN] [--again | --failed] [--table FILE]",
        overrides=False,
    )
    parser.add_argument("--column", action="append", metavar="COLUMN", help="leave the others")
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--again", action="store_true", help="measure what is there anew")
    chosen.add_argument("--failed", action="store_true", help="measure anew what failed")
    parser.add_argument("--table", type=Path, default=TABLE, help="another file than zoo.csv")
    return parser


if __name__ == "__main__":
    run_script(main)
