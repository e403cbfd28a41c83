"""What runs and searches found, as tables and a page: `python scripts/report.py RUN|STUDY...`."""

from collections.abc import Sequence
from pathlib import Path

from lightning_modules.config import OwnKey, ScriptParser, find_own_code, run_script, value_of
from lightning_modules.errors import ConfigError
from lightning_modules.files import write_text
from lightning_modules.runs import REPETITION, Summary, find_records, search_folder, summarize

KEYS = {"trust": OwnKey("[PACKAGE,...]", "whose networks and steps a run may name", "[]")}


def main(arguments: Sequence[str] | None = None) -> None:
    """Parses the command line, prints the tables and writes the page."""
    parser = ScriptParser(
        keys=KEYS,
        overrides=False,
        description="Groups runs whose configurations differ only in seed and fold, and prints "
        "mean and spread of each group. Of a search, also while it runs: its best trials, "
        "trials.csv, pictures, and the winner as an experiment. "
        "Writes report.html, which opens without a network, into the first one's directory.",
        usage="RUN|STUDY [RUN|STUDY...] [--html FILE] [--csv FILE] [--over KEY...] [--top N]",
        epilog="RUN: a run directory, or `last`. STUDY: a directory with trials/, or the name of "
        "one under outputs/studies/.",
    )
    parser.add_argument("--html", metavar="FILE", help="write the page there instead")
    parser.add_argument("--csv", metavar="FILE", help="also write every metric, unrounded")
    parser.add_argument(
        "--over",
        action="append",
        default=[],
        metavar="KEY",
        help="runs that differ in this key, such as from_run, are repetitions too",
    )
    parser.add_argument(
        "--top",
        type=int,
        default=1,
        metavar="N",
        help="write so many of a search's best trials as experiments, to be trained again (1)",
    )
    typed = parser.parse(arguments)
    flags, names = typed.flags, typed.names
    trust = trusted(typed.own["trust"])
    find_own_code(trust)
    if not names:
        raise ConfigError("No run was named; give run directories, `last`, or a study.")
    if flags.top < 1:
        raise ConfigError(f"--top {flags.top} is not allowed; give a number from 1.")
    searches = [folder for name in names if (folder := search_folder(name)) is not None]
    if searches:
        from lightning_modules.search import show_results  # Optuna
    for folder in searches:
        show_results(folder, top=flags.top)
    if others := [name for name in names if search_folder(name) is None]:
        report(others, csv=flags.csv, over=flags.over)
    elif flags.csv is not None:
        raise ConfigError("--csv is for runs; a search has its trials.csv.")
    print(f"report   {page(names, html=flags.html, over=flags.over, trust=trust)}")


def trusted(text: str) -> list[str]:
    """The packages of `trust=[a,b]`, or of `trust=a`.

    Raises:
        ConfigError: these are no names.
    """
    value = value_of("trust", text)
    names = value if isinstance(value, list) else [value]
    if not all(isinstance(name, str) for name in names):
        raise ConfigError(f"trust={text} names no packages; give a list, as trust=[my_package].")
    return names


def page(words: list[str], *, html: str | None, over: list[str], trust: list[str]) -> Path:
    """Writes the page on the runs and searches named; returns its path.

    Raises:
        ConfigError: none of them has metrics, one is damaged, or it cannot be written.
    """
    from lightning_modules.reporting import REPORT, read_input, write_report
    from lightning_modules.search import study_report

    inputs = read_input(words, over=over, read_study=study_report)
    path = inputs.home / REPORT if html is None else Path(html)
    return write_report(inputs, path, trust=trust)


def report(names: list[str], *, csv: str | None, over: list[str]) -> Summary:
    """Prints the table of the runs named, and writes it where `csv` says.

    Raises:
        ConfigError: a name means nothing, or no run has metrics.
    """
    from lightning_modules.reporting import spread_table

    if csv is not None and Path(csv).is_dir():
        raise ConfigError(f"--csv {csv} is a directory; give the name of a file.")
    records = find_records(names)
    summary = summarize(records, over=(*REPETITION, *over))
    spread_table.show(summary)
    if all(record.failure is not None for record in records):
        raise ConfigError("None of these runs has metrics; the reasons stand above.")
    if csv is not None:
        write_text(Path(csv), spread_table.to_csv(summary))
        print(f"csv      {csv}")
    return summary


if __name__ == "__main__":
    run_script(main)
