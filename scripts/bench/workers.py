"""How much sooner several workers finish a study than one.

`python scripts/bench/workers.py data=image_folder data.root=photos trainer.max_epochs=6`

Each worker is a process with one thread, all on one SQLite study. Prints the seconds of one worker,
of `--workers` (2), and their ratio, and how many trials each of the latter ran.
"""

import os
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import optuna

from lightning_modules.config import ScriptParser, run_script
from lightning_modules.search.ownership import OWNER
from scripts.bench.measuring import start_run


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the same search twice, by one worker and by several."""
    parser = ScriptParser(description=__doc__, usage="[key=value ...] [--flags]")
    parser.add_argument("--workers", type=int, default=2, help="default 2")
    parser.add_argument("--trials", type=int, default=24, help="of a study (default 24)")
    typed = parser.parse(arguments)
    flags = typed.flags
    with tempfile.TemporaryDirectory() as folder:
        seconds = {}
        for workers in (1, flags.workers):
            study = Path(folder) / f"by_{workers}"
            seconds[workers] = run(workers, study, flags.trials, typed.overrides)
            trials = optuna.load_study(study.name, f"sqlite:///{study / 'study.db'}").trials
            each = Counter(trial.user_attrs[OWNER]["pid"] for trial in trials)
            length = sum(trial.duration.total_seconds() for trial in trials) / len(trials)
            print(
                f"{workers} worker(s): {seconds[workers]:.0f} s, trials {sorted(each.values())}, "
                f"{length:.1f} s each"
            )
    print(f"ratio: {seconds[flags.workers] / seconds[1]:.2f}")


def run(workers: int, study: Path, trials: int, words: list[str]) -> float:
    """Seconds until the study is finished."""
    command = [
        "-m", "hydra/sweeper=optuna", f"hydra.sweep.dir={study}",
        f"hydra.sweeper.study_name={study.name}", f"sweep.n_trials={trials}", "logger=none", *words,
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MODEL_DIET_FOUND": str(study / "found")}
    start = time.perf_counter()
    processes = [
        start_run(command, output=subprocess.DEVNULL, environment=environment)
        for _ in range(workers)
    ]
    if any(process.wait() for process in processes):
        raise SystemExit("A worker failed; its words stand above.")
    return time.perf_counter() - start


if __name__ == "__main__":
    run_script(main)
