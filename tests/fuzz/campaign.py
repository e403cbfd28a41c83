"""Fuzzing for a while: `python -m tests.fuzz SECONDS`; started again, it goes on with new inputs.

The seconds are of computing, so that other work on the machine makes it longer, not less.

Targets take turns, each in a process of its own with a limit of memory, so that a reader that
crashes ends nothing but its turn. A row of `executions.csv` says how many inputs a target was
given so far; the minimal input of each finding is kept in a folder.
"""

import argparse
import contextlib
import csv
import json
import os
import pickle
import re
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from importlib import import_module
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import FlakyFailure

from tests.conftest import each_file_parsed_once
from tests.fuzz import judging
from tests.fuzz.target import Target
from tests.fuzz.targets import targets

TABLE = Path(__file__).with_name("executions.csv")
LIBRARIES = (
    "torch", "lightning_modules.networks", "lightning_modules.training", "torchvision", "optuna",
    "lightning_modules.deployment.load_model", "lightning_modules.config.check", "pyarrow.parquet",
)  # fmt: skip
TURN = 15.0  # seconds of computing
STUCK = 900.0  # seconds after which a turn is ended from outside
ROUND = 400  # inputs that are drawn from one seed


@dataclass
class Total:
    """What one target was given so far.

    Attributes:
        target: its name.
        executions: inputs read.
        sentences: of them refused with a sentence; the others gave a result.
        findings: different ones, each counted once.
        seconds: of computing.
        rounds: seeds used up.
    """

    target: str
    executions: int = 0
    sentences: int = 0
    findings: int = 0
    seconds: float = 0.0
    rounds: int = 0


def read_totals(table: Path) -> dict[str, Total]:
    """The rows of the table, by target."""
    if not table.is_file():
        return {}
    kinds = {field.name: field.type for field in fields(Total)}
    with table.open(newline="") as file:
        rows = [{k: kinds[k](v) for k, v in row.items()} for row in csv.DictReader(file)]
    return {row["target"]: Total(**row) for row in rows}


def write_totals(table: Path, totals: dict[str, Total]) -> None:
    """All rows, in one piece."""
    part = table.with_name(f".{table.name}.part")
    with part.open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Total)], lineterminator="\n")
        writer.writeheader()
        for total in totals.values():
            writer.writerow({**asdict(total), "seconds": round(total.seconds, 1)})
    part.replace(table)


def fuzz(targets: Sequence[Target], seconds: float, table: Path, found: Path) -> None:
    """Gives the targets turns until the time is over.

    Args:
        targets: what reads.
        seconds: of computing, of all together.
        table: of what was done so far; is kept up to date.
        found: folder for the inputs of findings.
    """
    totals = read_totals(table)
    done = 0.0
    with contextlib.suppress(KeyboardInterrupt):
        while done < seconds:
            # Who had least of its share comes first.
            target = min(targets, key=lambda t: _spent(totals, t) / t.weight)
            total = totals.setdefault(target.name, Total(target.name))
            done += _turn(target, total, min(TURN, seconds - done), found / _slug(target.name))
            write_totals(table, totals)
            print(f"{target.name:24} {total.executions:8} {total.findings:3}", flush=True)


def _spent(totals: dict[str, Total], target: Target) -> float:
    return totals[target.name].seconds if target.name in totals else 0.0


def _turn(target: Target, total: Total, seconds: float, found: Path) -> float:
    """One turn in a process of its own, which adds to the total; how long it computed."""
    reading, writing = os.pipe()
    first = total.rounds
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        code = 1
        try:
            with os.fdopen(writing, "w") as report:
                _play(target, first, seconds, found, report)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(writing)
    last: dict[str, Any] = {}
    with os.fdopen(reading) as report:
        timer = _kill_later(pid, seconds + STUCK)
        for line in report:
            last = json.loads(line)
        os.kill(timer, signal.SIGKILL)
        os.waitpid(timer, 0)
    _, status, used = os.wait4(pid, 0)
    total.executions += last.get("executions", 0)
    total.sentences += last.get("sentences", 0)
    total.rounds = max(last.get("rounds", 0), first + 1)
    total.seconds += (spent := used.ru_utime + used.ru_stime)
    if status:
        code = os.waitstatus_to_exitcode(status)
        _died(found, f"the reader's process ended with {code}")
    total.findings = max(total.findings, len(list(found.glob("*.txt"))))
    return spent


def _kill_later(pid: int, seconds: float) -> int:
    """A process that ends another one which is stuck."""
    timer = os.fork()
    if timer == 0:
        time.sleep(seconds)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os._exit(0)
    return timer


def _died(found: Path, how: str) -> None:
    """Keeps the input that a process died of."""
    found.mkdir(parents=True, exist_ok=True)
    last = found / "last.pickle"
    content = last.read_bytes() if last.is_file() else b""
    name = _slug(how)
    (found / f"{name}.pickle").write_bytes(content)
    (found / f"{name}.txt").write_text(how)


def _play(target: Target, first: int, seconds: float, found: Path, report: Any) -> None:
    """Inputs until the time is over, in this process; says now and then how many."""
    found.mkdir(parents=True, exist_ok=True)
    counts = {"executions": 0, "sentences": 0, "rounds": first}
    known = {path.stem for path in found.glob("*.txt")}
    last = os.open(found / "last.pickle", os.O_CREAT | os.O_RDWR)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.chdir(folder)
        for home in ("OUTPUTS", "CACHE", "DATA", "FOUND"):
            os.environ[f"MODEL_DIET_{home}"] = str(folder / home.lower())
        os.environ["HOME"] = str(folder / "home")  # OpenVINO counts its uses there
        target.prepare(folder)

        def read(value: Any) -> None:
            kept = pickle.dumps(value)
            os.pwrite(last, kept, 0)
            os.ftruncate(last, len(kept))
            counts["executions"] += 1
            if counts["executions"] % 50 == 0:
                print(json.dumps(counts), file=report, flush=True)
            try:
                said = judging.judge(
                    lambda: target.read(folder, value), folder, allowed=target.allowed
                )
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt) or _slug(judging.signature(error)) in known:
                    return
                raise
            counts["sentences"] += said is not None

        end = _computed() + seconds
        while _computed() < end:
            _round(target, read, counts["rounds"], end, found, known)
            counts["rounds"] += 1
            print(json.dumps(counts), file=report, flush=True)


def _round(
    target: Target, read: Any, number: int, end: float, found: Path, known: set[str]
) -> None:
    """The inputs of one seed; a finding is made small, kept, and not reported again."""
    smallest: list[tuple[Any, BaseException]] = []

    @seed(number)
    @settings(
        max_examples=ROUND,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
        report_multiple_bugs=False,
        print_blob=False,
    )
    @given(target.strategy())
    def given_inputs(value: Any) -> None:
        if _computed() > end and not smallest:
            return
        try:
            read(value)
        except BaseException as error:
            smallest[:] = [(value, error)]
            raise AssertionError(judging.signature(error)) from error

    try:
        given_inputs()
    except (AssertionError, FlakyFailure) as failure:
        if not smallest:
            raise failure
        value, error = smallest[0]
        name = _slug(judging.signature(error))
        known.add(name)
        (found / f"{name}.pickle").write_bytes(pickle.dumps(value))
        text = "".join(traceback.format_exception(error))
        (found / f"{name}.txt").write_text(f"{value!r:.3000}\n\n{text[-6000:]}", errors="replace")


def _computed() -> float:
    """Seconds that this process and those that it started have computed."""
    return sum(os.times()[:4])


def _slug(text: str) -> str:
    return re.sub(r"\W+", "_", text).strip("_").lower()


def main(arguments: Sequence[str] | None = None) -> None:
    """Parses the command line and fuzzes."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--only", default="", help="targets whose names have this in them")
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument("--found", type=Path, default=Path("fuzz_findings"), help="folder")
    flags = parser.parse_args(arguments)
    chosen = [target for target in targets() if flags.only in target.name]
    if not chosen:
        sys.exit(f"No target has {flags.only!r} in its name.")
    for name in LIBRARIES:  # once, not at each turn
        import_module(name)
    with each_file_parsed_once(), tempfile.TemporaryDirectory() as kept:
        os.environ["MODEL_DIET_FUZZ_EXPORTS"] = kept
        fuzz(chosen, flags.seconds, flags.table.absolute(), flags.found.absolute())
    totals = [t for t in read_totals(flags.table.absolute()).values() if flags.only in t.target]
    print(f"\n{'target':24} executions  sentences  findings  seconds")
    for t in [*totals, _sum(totals)]:
        print(f"{t.target:24} {t.executions:10,} {t.sentences:10,} {t.findings:9} {t.seconds:8.0f}")


def _sum(totals: Sequence[Total]) -> Total:
    names = ("executions", "sentences", "findings", "seconds")
    return Total("all", **{name: sum(getattr(t, name) for t in totals) for name in names})
