"""What a search adds to its trials: `python scripts/bench/search.py WORDS...` (of run.py -m).

In this process; of each trial the seconds in all, of fit and test, and what remains, by the clock
and of the processor, and the most memory so far.
"""

import runpy
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from lightning_modules.config import ScriptParser, run_script
from lightning_modules.deployment import process_peak
from scripts.bench.measuring import ROOT


class Stopwatch:
    """Adds up what the wrapped functions take, nested calls once."""

    def __init__(self) -> None:
        self.wall = self.processor = 0.0
        self.inside = False

    def around(self, function: Callable) -> Callable:
        """`function`, timed."""

        def timed(*arguments: Any, **settings: Any) -> Any:
            if self.inside:
                return function(*arguments, **settings)
            self.inside, wall, processor = True, time.perf_counter(), time.process_time()
            try:
                return function(*arguments, **settings)
            finally:
                self.inside = False
                self.wall += time.perf_counter() - wall
                self.processor += time.process_time() - processor

        return timed


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a search in this process and prints what each trial took beside fit and test."""
    parser = ScriptParser(
        description="Runs `python run.py -m hydra/sweeper=optuna WORDS...` and shows what each of "
        "its trials took beside fit and test.",
        usage="[key=value ...]",
    )
    words = parser.parse(arguments).overrides
    from lightning_modules.evaluation import metrics
    from lightning_modules.experiment import stage_run
    from lightning_modules.search.worker import Worker

    watch = Stopwatch()
    stage_run.fit = watch.around(stage_run.fit)
    metrics.evaluate = watch.around(metrics.evaluate)
    metrics.predict = watch.around(metrics.predict)
    rows: list[tuple[float, ...]] = []
    original = Worker._run

    def measured(self: Worker, batch: Any) -> int:
        before = watch.wall, watch.processor
        wall, processor = time.perf_counter(), time.process_time()
        failures = original(self, batch)
        ask = getattr(self, "_asked", (0.0, 0.0))
        total = time.perf_counter() - wall, time.process_time() - processor
        fits = watch.wall - before[0], watch.processor - before[1]
        peak = process_peak() / 2**20
        rows.append((*total, *fits, *ask, peak))
        return failures

    asking = Worker._ask

    def asked(self: Worker) -> Any:
        wall, processor = time.perf_counter(), time.process_time()
        batch = asking(self)
        self._asked = time.perf_counter() - wall, time.process_time() - processor
        return batch

    Worker._run, Worker._ask = measured, asked
    sys.argv = ["run.py", "-m", "hydra/sweeper=optuna", *words]
    runpy.run_path(str(ROOT / "run.py"), run_name="__main__")
    _show(rows)


def _show(rows: list[tuple[float, ...]]) -> None:
    print("\ntrial  whole s  fit+test s  rest s  rest, processor s  peak MB")
    for number, (wall, processor, fit, fit_processor, ask, ask_processor, peak) in enumerate(rows):
        rest, rest_processor = wall + ask - fit, processor + ask_processor - fit_processor
        print(
            f"{number:>5}  {wall:>7.2f}  {fit:>10.2f}  {rest:>6.2f}  {rest_processor:>17.2f}"
            f"  {peak:>7.0f}"
        )
    if len(rows) > 2:
        rest = sorted(r[1] + r[5] - r[3] for r in rows[1:])
        print(
            f"median of the rest from the second on: {rest[len(rest) // 2]:.2f} s of the processor"
        )
        print(f"memory grew by {rows[-1][6] - rows[1][6]:.0f} MB")


if __name__ == "__main__":
    run_script(main)
