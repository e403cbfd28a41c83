"""Kills, and goes on where it stopped: `python -m tests.campaign [--kills N]`."""

import argparse
import itertools
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.campaign import table
from tests.campaign.home import can_mount, remove
from tests.campaign.kinds import KINDS
from tests.campaign.lanes import run_orders
from tests.campaign.materials import materials
from tests.campaign.order import Order
from tests.campaign.scenarios import SCENARIOS

RECORD = Path(__file__).with_name("kills.csv")
DOCS = Path(__file__).parents[2] / "docs" / "survival.md"


def main(arguments: Sequence[str] | None = None) -> int:
    """Carries the campaign on, or shows its table; 1 where something was lost or unequal."""
    flags = _parser().parse_args(arguments)
    if flags.table:
        table.write(DOCS, table.read(flags.csv))
    else:
        _carry_on(flags)
    rows = table.read(flags.csv)
    print(table.summary(rows), file=sys.stderr)
    return int(any(row["lost"] or row["unequal"] for row in rows))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m tests.campaign", description=__doc__)
    parser.add_argument("--kills", type=int, default=1000, help="in all, those there are included")
    parser.add_argument("--minutes", type=float, default=1e9, help="no run begins after these")
    parser.add_argument("--seed", type=int, default=0, help="of everything that is drawn")
    parser.add_argument("--lanes", type=int, default=2, help="runs at once")
    parser.add_argument("--csv", type=Path, default=RECORD, metavar="FILE", help="the record")
    parser.add_argument("--work", type=Path, default=_work(), metavar="DIR", help="scratch space")
    parser.add_argument("--scenario", default="", help="only those with this in their names")
    parser.add_argument("--kind", choices=KINDS, help="only this one")
    parser.add_argument("--run", type=int, action="append", help="only the runs of these numbers")
    parser.add_argument("--table", action="store_true", help=f"write {DOCS.name} anew, no more")
    return parser


def _work() -> Path:
    return Path(tempfile.gettempdir(), "model_diet_campaign")


def _carry_on(flags: argparse.Namespace) -> None:
    work = _fresh_folder(flags.work)
    began, kills = time.monotonic(), len(table.read(flags.csv))
    try:
        with materials(work) as images:
            for order, rows in run_orders(_orders(flags, work, images), lanes=flags.lanes):
                table.add(flags.csv, rows)
                kills += len(rows)
                wrong = [text for row in rows[:1] for text in (row.lost, row.unequal) if text]
                minutes = (time.monotonic() - began) / 60
                said = f"run {order.number:4d}  {len(rows)} kills, {kills:4d} in {minutes:5.1f} min"
                print(f"{said}  {order.what.name}: {'; '.join(wrong) or 'equal'}", flush=True)
    finally:
        kept = work / "failed"
        if kept.is_dir():
            place = Path(tempfile.mkdtemp(prefix="failed_", dir=flags.work))
            shutil.copytree(kept, place, dirs_exist_ok=True)
            print(f"what failed is kept in {place}", file=sys.stderr)
        _remove(work)


def _orders(flags: argparse.Namespace, work: Path, images: Path) -> Iterator[Order]:
    """Those whose rows are not there yet, until there are enough kills."""
    done = {int(row["run"]) for row in table.read(flags.csv)}
    disk = can_mount(work / "tried")
    if not disk:
        print("not root: a limit on each file's size takes the place of a full disk")
    ends = time.monotonic() + 60 * flags.minutes
    for number in flags.run or itertools.count():
        scenario = number % len(SCENARIOS)
        kinds = list(KINDS) if flags.kind is None else [flags.kind]
        if SCENARIOS[scenario].beside:  # which shares the disk
            kinds = [kind for kind in kinds if kind != "disk full"] or [*KINDS][:1]
        if flags.scenario not in SCENARIOS[scenario].name or number in done:
            continue
        if len(table.read(flags.csv)) >= flags.kills or time.monotonic() > ends:
            return
        yield Order(number, flags.seed, scenario, kinds, str(work), str(images), disk)


def _fresh_folder(parent: Path) -> Path:
    """A folder for this campaign; what one that was killed left is removed."""
    parent.mkdir(parents=True, exist_ok=True)
    for old in parent.glob("pid*"):
        if not Path("/proc", old.name.removeprefix("pid")).exists():
            _remove(old)
    folder = parent / f"pid{os.getpid()}"
    folder.mkdir()
    return folder


def _remove(work: Path) -> None:
    for home in (*work.glob("run*"), *work.glob("references/*.home")):
        remove(home) if home.is_dir() else home.unlink()
    shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
