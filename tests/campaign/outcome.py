"""What a run left, as names and values that must be those of a run nobody killed."""

import csv
import hashlib
import io
import json
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Text that must be equal but for what `_plain` takes out.
TEXT = (".md", ".csv", ".yaml", ".txt")
PRESENT = (".html", ".png")  # with pictures of times in them
TIMED = re.compile(r"second|time|latency|date|throughput|created|_ms\b|per_s")
# What another run of the same command calls otherwise: its day and second, a replaced trial.
NAMES = (
    (re.compile(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d"), "TIME"),
    (re.compile(r"[Tt]rials?[ /]\d+|(?m:^# \d+$)"), "TRIAL"),
)
MACHINE = re.compile(r"- (trial|data\.num_workers)=")  # words of a trial that change nothing
LEFT_OUT = re.compile(
    # csv/: Lightning's logger begins a further version_N/ at each resume
    r"(^|/)(\.hydra|tmp|wandb|checkpoints|csv)(/|$)|multirun.yaml$|\.(log|lock|ckpt|sha256)$|\.part"
)


def outcome(root: Path) -> dict[str, str]:
    """Everything that a home holds and that does not depend on time, by its path.

    A table counts its rows besides (`PATH rows`), a study its finished trials. Of trials, and of
    teachers trained on the way, only those that ended count: others took their places.
    """
    found: dict[str, str] = {}
    known = {folder: _known_as(folder) for folder in root.glob("*/trials/*")}
    known |= {folder: _teacher(folder) for folder in root.glob("outputs/teachers/*")}
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        name = str(path.relative_to(root))
        if LEFT_OUT.search(name):
            continue
        if (folder := next((each for each in path.parents if each in known), None)) is not None:
            if known[folder] is None:
                continue
            name = f"{known[folder]}/{path.relative_to(folder)}"
        found.update(_of_file(path, name, str(root)))
    return found


def _known_as(trial: Path) -> str | None:
    """What was tried there, since a replaced trial has another number; None: it is unfinished."""
    words = trial / ".hydra" / "overrides.yaml"
    if not (trial / "metrics.json").is_file() or not words.is_file():
        return None
    kept = [line for line in words.read_text().splitlines() if not MACHINE.search(line)]
    return f"trial {_digest(' '.join(sorted(kept)).encode())[:12]}"


def _teacher(run: Path) -> str | None:
    return _plain_text(run.name, str(run)) if (run / "metrics.json").is_file() else None


def differences(found: dict[str, str], expected: dict[str, str]) -> tuple[list[str], list[str]]:
    """What is lost (absent, or a table with fewer rows), and what is there but not equal."""
    lost, unequal = [], []
    for name, value in expected.items():
        if name not in found:
            lost.append(name)
        elif found[name] != value:
            fewer = name.endswith(" rows") and int(found[name]) < int(value)
            (lost if fewer else unequal).append(name)
    return lost, unequal


def _of_file(path: Path, name: str, home: str) -> Iterator[tuple[str, str]]:
    if path.suffix == ".json":
        content = json.dumps(_plain(json.loads(path.read_text())), sort_keys=True)
        yield name, _digest(_plain_text(content, home).encode())
    elif path.suffix == ".csv":
        rows = list(csv.DictReader(io.StringIO(_plain_text(path.read_text(), home))))
        if rows and {"trial", "state"} <= rows[0].keys():  # of a search: others are replaced
            rows = [{**row, "trial": ""} for row in rows if row["state"] == "finished"]
            rows.sort(key=lambda row: json.dumps(_plain(row), sort_keys=True))
        kept = [_plain(row) for row in rows]
        yield f"{name} rows", str(len(rows))
        yield name, _digest(json.dumps(kept).encode())
    elif path.suffix in TEXT:
        lines = _plain_text(path.read_text(), home).splitlines()
        kept = [line for line in lines if not TIMED.search(line)]
        yield name, _digest("\n".join(kept).encode())
    elif path.suffix == ".db":
        yield from _of_study(path, name)
    elif path.suffix in PRESENT:
        yield name, "there"
    else:
        yield name, _digest(path.read_bytes().replace(home.encode(), b"HOME"))


def _of_study(path: Path, name: str) -> Iterator[tuple[str, str]]:
    """Its finished trials, whatever their numbers: what was tried, and what it gave."""
    with sqlite3.connect(path) as connection:
        rows = connection.execute(
            "select trials.trial_id, param_name, param_value, value from trials "
            "join trial_values using (trial_id) join trial_params using (trial_id) "
            "where state = 'COMPLETE' order by param_name"
        ).fetchall()
    connection.close()
    trials: dict[int, list[Any]] = {}
    for trial, *rest in rows:
        trials.setdefault(trial, []).append(rest)
    yield f"{name} rows", str(len(trials))
    yield name, _digest(json.dumps(sorted(trials.values())).encode())


def _plain(value: Any) -> Any:
    """JSON without what depends on time."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items() if not TIMED.search(str(k))}
    return [_plain(each) for each in value] if isinstance(value, list) else value


def _plain_text(text: str, home: str) -> str:
    text = text.replace(home, "HOME")
    for pattern, word in NAMES:
        text = pattern.sub(word, text)
    return text


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
