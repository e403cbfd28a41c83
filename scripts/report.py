"""What finished runs and searches found: `python scripts/report.py RUN|STUDY... [--csv FILE]`."""

import argparse
from pathlib import Path

from lightning_modules import spread_table
from lightning_modules.atomic_files import write_text
from lightning_modules.command_line import explaining
from lightning_modules.configurations import REPETITION
from lightning_modules.errors import ConfigError
from lightning_modules.run_directory import outputs_root
from lightning_modules.run_records import find_records
from lightning_modules.search.answer import show_answer
from lightning_modules.search.opening import ABOUT
from lightning_modules.summary import Summary, summarise


def main() -> None:
    """Parses the command line and prints the table."""
    parser = argparse.ArgumentParser(
        description="Groups runs whose configurations differ only in seed and fold, and prints "
        "mean and spread of each group. Of a search, also while it runs: its best trials, "
        "trials.csv, pictures, and the winner as an experiment.",
        usage="%(prog)s RUN|STUDY [RUN|STUDY...] [--csv FILE] [--over KEY...]",
        epilog="RUN: a run directory, or `last`. STUDY: a directory with trials/, or the name of "
        "one under outputs/studies/.",
    )
    parser.add_argument("words", nargs="+", metavar="RUN|STUDY")
    parser.add_argument("--csv", metavar="FILE", help="also write every figure, unrounded")
    parser.add_argument(
        "--over",
        action="append",
        default=[],
        metavar="KEY",
        help="runs that differ in this key, such as from_run, are repetitions too",
    )
    flags = parser.parse_intermixed_args()
    searches = [folder for word in flags.words if (folder := search_folder(word)) is not None]
    for folder in searches:
        show_answer(folder)
    if others := [word for word in flags.words if search_folder(word) is None]:
        report(others, csv=flags.csv, over=flags.over)
    elif flags.csv is not None:
        raise ConfigError("--csv is for runs; a search has its trials.csv.")


def search_folder(word: str) -> Path | None:
    """The directory of the search that a word names, by path or by name; None: it is none."""
    places = (Path(word), outputs_root() / "studies" / word)
    return next((place for place in places if (place / ABOUT).is_file()), None)


def report(names: list[str], *, csv: str | None, over: list[str]) -> Summary:
    """Prints the table of the runs named, and writes it where `csv` says.

    Raises:
        ConfigError: a name means nothing, or no run has figures.
    """
    if csv is not None and Path(csv).is_dir():
        raise ConfigError(f"--csv {csv} is a directory; give the name of a file.")
    records = find_records(names)
    summary = summarise(records, over=(*REPETITION, *over))
    spread_table.show(summary)
    if all(record.failure is not None for record in records):
        raise ConfigError("None of these runs has figures; the reasons stand above.")
    if csv is not None:
        write_text(Path(csv), spread_table.to_csv(summary))
        print(f"csv      {csv}")
    return summary


if __name__ == "__main__":
    with explaining():
        main()
