"""Carries orders out, several at once, each in a warm process of its own."""

import json
import os
import subprocess
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.campaign.order import Order, Row
from tests.campaign.program import ROOT
from tests.warm_python import Program, WarmPython

SCRIPT = "tests/campaign/one_run.py"


def run_orders(orders: Iterable[Order], *, lanes: int) -> Iterator[tuple[Order, list[Row]]]:
    """Carries them out; what came of each, in the order of their ends.

    One in which the campaign itself fails is said, and left out.

    Raises:
        RuntimeError: No process can be forked here.
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    server = WarmPython(ROOT, environment)
    running: list[tuple[Order, Program, Path]] = []
    orders = iter(orders)
    while True:
        while len(running) < lanes and (order := next(orders, None)) is not None:
            file = Path(order.work, f"rows{order.number}.json")
            words = [SCRIPT, order.to_json(), str(file)]
            if not server.can_start(words, environment):
                raise RuntimeError("no process can be forked here: a library started a thread")
            program = server.start(words, environment, subprocess.PIPE, subprocess.STDOUT)
            running.append((order, program, file))
        if not running:
            return
        ended = [entry for entry in running if entry[1].poll() is not None]
        for entry in ended:
            running.remove(entry)
            order, program, file = entry
            said, _ = program.communicate()
            if program.returncode:
                print(f"run {order.number} of the campaign failed:\n{said}", flush=True)
                continue
            yield order, [Row(**row) for row in json.loads(file.read_text())]
            file.unlink()
        time.sleep(0 if ended else 0.05)
