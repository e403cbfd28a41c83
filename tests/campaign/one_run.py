"""One run of the campaign from its first command to its end, killed on its way.

It is started warm (`tests/warm_python.py`) with an order and the file for its rows, and forks the
programs from itself.
"""

import itertools
import json
import random
import shutil
import sys
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from tests.campaign.commands import Commands, Failed
from tests.campaign.home import Home
from tests.campaign.kinds import Alive, Attack, end_by
from tests.campaign.order import Order, Row
from tests.campaign.outcome import differences, outcome
from tests.campaign.program import LONGEST, Program
from tests.campaign.reference import reference

COLD = 0.07  # share of the programs that import everything themselves
AT_CHANGES = 0.6  # share of the kills that hit a change of files; the others a moment of time
IMPORTING = 6.0  # processor seconds within which a cold program is killed


def carry_out(order: Order) -> list[Row]:
    """Kills the run as often as is drawn, lets it end, and compares it; a row for each kill."""
    expected = reference(order)
    with Home(Path(order.work, f"run{order.number}"), disk=order.disk) as home:
        commands = Commands(order, home, workers=order.workers)
        rows: list[Row] = []
        lost: list[str] = []
        unequal: list[str] = []
        try:
            commands.prepare()
            beside = commands.start_beside()
            _kill(order, commands, expected, rows, lost)
            if beside is not None:
                commands.end_well(beside)
            commands.await_orphans()
            absent, unequal = differences(outcome(home.root), expected["outcome"])
            lost += [*absent, *(f"{name} is left" for name in home.partial_files())]
        except Failed as error:
            lost.append(str(error))
        finally:
            commands.end_all()
        if lost or unequal:
            _keep(home, Path(order.work, "failed", home.root.name))
    used = sum(program.end.processor for program in commands.programs)
    for row in rows:
        row.processor = round(used / len(rows), 3)
        row.lost, row.unequal = _said(lost), _said(unequal)
    return rows


def _kill(
    order: Order, commands: Commands, expected: dict[str, Any], rows: list[Row], lost: list[str]
) -> None:
    """Kills until the run has ended; adds to `rows` and `lost`."""
    draws = random.Random(f"{order.seed}/{order.number}")
    kinds = itertools.cycle(draws.sample(order.kinds, len(order.kinds)))
    number = draws.randint(*order.what.kills)
    for attempt in range(number):
        # Moments drawn from the whole run would find its beginning only: each kill has a share.
        share = min(2 / number, 1) if attempt < number - 1 else 1
        pause = moment = None
        cold = draws.random() < COLD
        if cold:
            moment = draws.uniform(0, min(IMPORTING, expected["seconds"] + 1))
        elif draws.random() < AT_CHANGES:
            pause = draws.randint(1, max(round(expected["changes"] * share), 1))
        else:
            moment = draws.uniform(0, expected["seconds"] * max(share, 0.5))
        words = commands.next
        program = commands.start(words, pause=pause, cold=cold)
        state = program.wait(LONGEST) if moment is None else program.work(moment)
        if state == "ended":
            if commands.has_finished(program, words):
                return
            continue
        row = Row(
            order.number, len(rows) + 1, order.what.name, order.training_seed, order.workers,
            next(kinds), "cold" if cold else "warm",
            program.paused_at if moment is None else f"{moment:.3f} s of work", commands.progress,
        )  # fmt: skip
        attack = Attack(
            program, commands.home, draws, expected["seconds"],
            meanwhile=partial(_meet, program, commands, lost),
        )  # fmt: skip
        lost += _end(row, attack, commands)
        if row.code == 0 and not commands.lacks_parts:
            return  # it ended well all the same
        rows.append(row)
        if commands.is_worn_out:
            break
    commands.finish()


def _meet(stopped: Program, commands: Commands, lost: list[str]) -> None:
    lost += commands.meet(stopped)


def _end(row: Row, attack: Attack, commands: Commands) -> list[str]:
    """Kills; notes how in the row, and returns what is wrong with it."""
    began, wrong = time.monotonic(), []
    try:
        row.means = end_by(row.kind, attack)
    except Alive as error:
        wrong.append(str(error))
    attack.home.make_room()
    row.dying = round(time.monotonic() - began, 3)
    row.code, row.said = attack.program.end.code, commands.said(attack.program)
    if row.kind == "disk full":
        left = attack.home.partial_files(attack.program.pid)
        wrong += [f"{name} is left by a full disk" for name in left]
    return wrong


def _said(wrong: list[str], most: int = 3) -> str:
    more = f"; and {len(wrong) - most} more" if len(wrong) > most else ""
    return "; ".join(wrong[:most]) + more


def _keep(home: Home, folder: Path) -> None:
    """Keeps what a run left with which something is wrong."""
    shutil.copytree(home.root, folder, dirs_exist_ok=True)
    shutil.copy(home.said, folder / "said.txt")


if __name__ == "__main__":
    found = carry_out(Order(**json.loads(sys.argv[1])))
    Path(sys.argv[2]).write_text(json.dumps([asdict(row) for row in found]))
