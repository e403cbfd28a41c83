"""The run that nobody kills, once for all runs of one scenario and seed."""

import fcntl
import json
from pathlib import Path
from typing import Any

from tests.campaign.commands import Commands
from tests.campaign.home import Home
from tests.campaign.order import Order
from tests.campaign.outcome import outcome


def reference(order: Order) -> dict[str, Any]:
    """What it left (`outcome`), and its `changes` of files and `seconds` of the processor.

    It loads its images without a worker: that their number changes nothing is held besides.
    """
    file = Path(order.work, "references", f"{order.scenario}_{order.training_seed}.json")
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not file.is_file():
            file.write_text(json.dumps(_measured(order, file.with_suffix(".trace"))))
        return json.loads(file.read_text())


def _measured(order: Order, trace: Path) -> dict[str, Any]:
    root = trace.with_suffix(".home")
    with Home(root, disk=order.disk) as home:
        commands = Commands(order, home, workers=0)
        commands.prepare()
        beside = commands.start_beside()
        program = commands.start(commands.first, trace=trace)
        commands.end_well(program)
        if beside is not None:
            commands.end_well(beside)
        found = outcome(root)
        if beside is not None:  # which of the two is the last, chance decides
            found = {name: value for name, value in found.items() if "outputs/last_" not in name}
    *changes, seconds = trace.read_text().splitlines()
    return {"outcome": found, "changes": len(changes), "seconds": float(seconds)}
