"""The table of `data_aware`: a CSV that grows line by line, and what its seeds have in common."""

import csv
import io
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from scripts.bench.compress import spread
from scripts.bench.data_aware_rows import KEYS, Row

MEASURES = ("macs", "latency", "f1_before", "f1_after", "agreement", "threads", "batch",
            "seconds", "note")  # fmt: skip
SHOWN = ("f1_before", "f1_after", "kept", "macs", "latency", "agreement")

Measured = Mapping[str, str]  # what a row found, by its column


def read_rows(path: Path) -> dict[tuple[str, ...], Measured]:
    """What was measured, by the key of its row."""
    if not path.is_file():
        return {}
    with path.open(newline="") as file:
        return {tuple(line[key] for key in KEYS): line for line in csv.DictReader(file)}


def append_row(path: Path, row: Row, measured: Measured) -> None:
    """Adds a line in one piece: who ends this process leaves whole lines."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if not path.is_file():
        writer.writerow([*KEYS, *MEASURES])
    writer.writerow([*row.key, *(measured.get(column, "") for column in MEASURES)])
    with path.open("ab", buffering=0) as file:
        file.write(text.getvalue().encode())
        os.fsync(file.fileno())


def table(rows: Iterable[Row], found: Mapping[tuple[str, ...], Measured]) -> str:
    """The measured ones of the rows as Markdown: mean (standard deviation) over seeds."""
    text = ["| block | network | treatment | asked | epochs | seeds | F1 before | after | kept |"
            " MACs | latency | same class | remarks |", "|---" * 13 + "|"]  # fmt: skip

    def alike(row: Row) -> tuple[str, ...]:
        return tuple(part for name, part in zip(KEYS, row.key, strict=True) if name != "seed")

    order: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        order.setdefault(alike(row), []).append(row)
    for group in order.values():
        lines = [found[row.key] for row in group if row.key in found]
        if lines:
            text.append(_line(group[0], lines))
    return "\n".join(text)


def _line(row: Row, lines: list[Measured]) -> str:
    asked = f"{row.share} of {row.target}" if row.target else ""
    network = f"{row.base}, {row.data}, {row.size} px"
    whole = [line for line in lines if line["f1_after"]]
    columns = {name: [float(line[name]) for line in whole if line.get(name)] for name in SHOWN}
    pairs = zip(columns["f1_after"], columns["f1_before"], strict=True)
    columns["kept"] = [after / before for after, before in pairs if before]
    cells = [spread(values) if values else "" for values in columns.values()]
    notes = "; ".join(dict.fromkeys(line["note"] for line in lines if line["note"]))
    start = [row.block, network, row.treatment, asked, str(row.epochs or ""), str(len(lines))]
    return f"| {' | '.join([*start, *cells, notes])} |"
