"""Many simulated workers on one PostgreSQL study, whose server is restarted and who are killed.

`python -m tests.campaign.soak.soak FOLDER --workers 100 --trials 2000`; the same command goes on
where it was ended. It prints what was found, and adds a row to `figures.csv` beside this file.
"""

import argparse
import csv
import multiprocessing
import os
import random
import signal
import statistics
import time
from collections import Counter
from dataclasses import asdict, dataclass, fields
from multiprocessing.sharedctypes import RawValue
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from tests.campaign.soak.workers import Journal, composed, work
from tests.postgresql_server import PostgresqlServer

FIGURES = Path(__file__).parent / "figures.csv"


@dataclass(frozen=True)
class Figures:
    """What a soak found; seconds, unless a name says otherwise."""

    workers: int
    trials: int
    trial_seconds: float
    optuna: str
    restarts: int
    killed: int
    replaced: int  # trials of the killed, which others did anew
    late: int  # trials that were given back, since another worker took the last place
    lost: int  # whose run finished, but whose value the study has not
    twice: int  # more trials than were asked for, or one run by two
    failed_workers: int  # that ended with anything but success, and were not killed
    wall_seconds: float
    trials_per_second: float
    trials_per_second_at_most: float  # of workers that only sleep
    storage_share: float  # of the workers' time, less the two restarts
    processor_ms_per_trial: float  # of all workers
    storage_ms_by_quarter: str  # of a trial, the median: of the first 25 % to the last
    processor_ms_by_quarter: str
    load: float  # of the machine's processors by all programs, when it ended


class Soak:
    """One study of so many simulated workers.

    Args:
        folder: for the database, the study and the notes.
        workers: how many at once.
        trials: how many in all.
        seconds: of a trial.
        words: more overrides.
    """

    def __init__(
        self, folder: Path, workers: int, trials: int, seconds: float, words: tuple[str, ...] = ()
    ) -> None:
        self.folder, self.count, self.trials, self.seconds = folder, workers, trials, seconds
        folder.mkdir(parents=True, exist_ok=True)
        database = folder / "database"
        database.mkdir(exist_ok=True)
        folder.chmod(0o755)
        self.server = PostgresqlServer(database, max_connections=300)
        study = folder / "study"
        study.mkdir(exist_ok=True)
        self.root = composed(study, self.server.url, trials, *words)
        self.journal = Journal(folder / "journal.txt")
        self.spent = [RawValue("d", 0.0) for _ in range(workers)]
        self.processes: list[Any] = []
        self.killed: set[int] = set()

    def run(self, restarts: int = 2, kill: float = 0.2) -> Figures:
        """Runs the study to its end; of the workers a share is killed on the way."""
        fork, draws = multiprocessing.get_context("fork"), random.Random(self.count)
        self.server.start()
        start, times = time.monotonic(), os.times()
        for number in range(self.count):
            log = self.folder / f"worker_{number}.log"
            args = (self.root, self.seconds, self.journal, log, self.spent[number])
            self.processes.append(fork.Process(target=work, args=args))
            self.processes[-1].start()
        done = self._finished()
        left = self.trials - done
        events = [
            (done + left * (place + 1) / (restarts + 1), "restart") for place in range(restarts)
        ]
        victims = draws.sample(range(self.count), round(kill * self.count))
        events += [(done + left * draws.uniform(0.05, 0.9), victim) for victim in victims]
        for due, event in sorted(events, key=lambda pair: pair[0]):
            while self._finished() < due and any(map(alive, self.processes)):
                time.sleep(0.1)
            if event == "restart":
                self.server.restart(2)
            elif alive(self.processes[event]):
                self.processes[event].kill()
                self.killed.add(event)
        for process in self.processes:
            process.join()
        wall = time.monotonic() - start
        processor = sum(os.times()[2:4]) - sum(times[2:4])
        try:
            return self._figures(wall, processor, restarts)
        finally:
            self.server.stop()

    def _finished(self) -> int:
        return sum(words[0] == "finished" for words in self.journal.lines())

    def _figures(self, wall: float, processor: float, restarts: int) -> Figures:
        trials = optuna.load_study("soak", self.server.url).get_trials(deepcopy=False)
        lines = self.journal.lines()
        counted = [t for t in trials if "retired" not in t.user_attrs]
        late = sum("faster" in t.user_attrs.get("retired", "") for t in trials)
        storage, busy = self._quarters(lines, 3), self._quarters(lines, 2)
        bad = [
            number
            for number, process in enumerate(self.processes)
            if number not in self.killed and process.exitcode != 0
        ]
        in_storage = sum(value.value for value in self.spent)
        alive_seconds = wall * (self.count - len(self.killed) / 2)
        return Figures(
            workers=self.count,
            trials=sum(t.state == TrialState.COMPLETE for t in counted),
            trial_seconds=self.seconds,
            optuna=optuna.__version__,
            restarts=restarts,
            killed=len(self.killed),
            replaced=len(trials) - len(counted) - late,
            late=late,
            lost=len(lost(trials, lines)),
            twice=len(counted) - self.trials + len(twice(trials, lines)),
            failed_workers=len(bad),
            wall_seconds=round(wall, 1),
            trials_per_second=round(self.trials / wall, 2),
            trials_per_second_at_most=round(self.count / self.seconds, 2),
            storage_share=round(in_storage / alive_seconds, 3),
            processor_ms_per_trial=round(1000 * processor / self.trials, 1),
            storage_ms_by_quarter=storage,
            processor_ms_by_quarter=busy,
            load=round(os.getloadavg()[0] / (os.cpu_count() or 1), 1),
        )

    def _quarters(self, lines: list[list[str]], place: int) -> str:
        """Milliseconds from one job's beginning to the worker's next; the sleep takes none."""
        asked = [(int(words[1]), float(words[place])) for words in lines if words[0] == "asked"]
        size = max(1, self.trials // 4)
        groups = [[s for n, s in asked if n // size == quarter] for quarter in range(4)]
        return " ".join(f"{1000 * statistics.median(group or [0]):.0f}" for group in groups)


def alive(process: Any) -> bool:
    """Whether a worker is at work."""
    return process.exitcode is None


def lost(trials: list[FrozenTrial], lines: list[list[str]]) -> list[int]:
    """Numbers of runs that finished, but whose trials have another value, or none."""
    finished = {int(words[1]): float(words[2]) for words in lines if words[0] == "finished"}
    values = {t.number: t.value for t in trials if t.state == TrialState.COMPLETE}
    return [number for number, value in finished.items() if values.get(number) != value]


def twice(trials: list[FrozenTrial], lines: list[list[str]]) -> list[Any]:
    """Runs that were done twice, and trials that one creation left twice."""
    began = Counter(int(words[1]) for words in lines if words[0] == "began")
    tokens = Counter(trial.user_attrs["owner"]["token"] for trial in trials)
    numbers = Counter(trial.number for trial in trials)
    counts = (*began.items(), *tokens.items(), *numbers.items())
    return [name for name, count in counts if count > 1]


def main() -> None:
    """Runs one soak by the words of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--workers", type=int, default=20)
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("words", nargs="*")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: exit(1))
    soak = Soak(
        given.folder.absolute(), given.workers, given.trials, given.seconds, tuple(given.words)
    )
    try:
        found = soak.run()
    finally:
        for process in soak.processes:
            process.kill()
        if soak.server.server is not None and soak.server.server.poll() is None:
            soak.server.stop()
    new = not FIGURES.is_file()
    with FIGURES.open("a", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Figures)])
        if new:
            writer.writeheader()
        writer.writerow(asdict(found))
    for name, value in asdict(found).items():
        print(f"{name:28} {value}")


if __name__ == "__main__":
    main()
