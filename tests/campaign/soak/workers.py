"""A simulated worker of a search: all that a real one does, but the training is a sleep."""

import copy
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from ctypes import c_double
from pathlib import Path
from typing import Any, NoReturn

from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig, open_dict

from lightning_modules.files import write_json
from lightning_modules.runs import METRICS_FILE, run_directory
from lightning_modules.search import study
from lightning_modules.search.patient_storage import PatientStorage
from lightning_modules.search.trial_task import TrialTask
from lightning_modules.search.worker import Worker
from tests.conftest import ROOT

SPACE = (
    "hydra.sweeper.params={}",
    "optimizer.lr=interval(0.0,1.0)",
    "data.batch_size=choice(8,16)",
)


def composed(folder: Path, url: str, trials: int, *words: str) -> DictConfig:
    """What `python run.py -m hydra/sweeper=optuna WORDS...` hands to the sweeper."""
    words = (*SPACE, f"sweep.n_trials={trials}", "sweep.max_failure_rate=1", *words)
    run_directory.register_resolvers()
    study.register_sweeper_defaults()
    sweeper = ["hydra/sweeper=optuna", f"hydra.sweeper.storage={url}", f"hydra.sweep.dir={folder}"]
    fixed = [word for word in words if "(" not in word]
    with initialize_config_dir(config_dir=str(ROOT / "conf"), version_base="1.3"):
        root = compose("config", overrides=[*sweeper, *fixed], return_hydra_config=True)
    with open_dict(root):
        root.hydra.overrides.task = [word for word in words if not word.startswith("hydra")]
        root.hydra.sweeper.study_name = "soak"
    return root


class Journal:
    """A file of lines that many processes write to, each in one piece."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def note(self, *words: object) -> None:
        """Adds a line, which a kill of this process leaves there."""
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(handle, (" ".join(map(str, words)) + "\n").encode())
        os.close(handle)

    def lines(self) -> list[list[str]]:
        """What was noted."""
        text = self.path.read_text() if self.path.is_file() else ""
        return [line.split() for line in text.splitlines()]


class Sleeper:
    """A launcher whose jobs sleep, write what they measured and tell it, as real ones do.

    Args:
        root: the composed search.
        seconds: of a job, from its half to one and a half.
        journal: of all workers.
        spent: seconds that this worker has spent in the storage.
    """

    def __init__(self, root: DictConfig, seconds: float, journal: Journal, spent: Any) -> None:
        self.root, self.seconds, self.journal, self.spent = root, seconds, journal, spent
        self.draws = random.Random(os.getpid())
        self.last = time.process_time(), 0.0

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[Any]:
        """Runs one after the other."""
        return [self._run(dict(word.split("=", 1) for word in words)) for words in job_overrides]

    def _run(self, given: dict[str, str]) -> JobReturn:
        cfg, job = copy.deepcopy(self.root), JobReturn()
        run = Path(cfg.hydra.sweep.dir) / given["hydra.sweep.subdir"]
        with open_dict(cfg):
            cfg.trial = int(given["trial"])
            cfg.hydra.runtime.output_dir = str(run)
        HydraConfig.get = staticmethod(lambda: cfg.hydra)  # type: ignore[method-assign]
        now = time.process_time(), self.spent.value
        since = (new - old for new, old in zip(now, self.last, strict=True))
        self.journal.note("asked", given["trial"], *since)
        self.last = now
        job.status = JobStatus.COMPLETED
        try:
            job.return_value = TrialTask(lambda _: self._sleep(given, run))(cfg)
        except Exception as error:
            job.status, job.return_value = JobStatus.FAILED, error
        return job

    def _sleep(self, given: dict[str, str], run: Path) -> float:
        """The whole run of a trial."""
        self.journal.note("began", given["trial"], os.getpid())
        time.sleep(self.seconds * self.draws.uniform(0.5, 1.5))
        value = -abs(float(given["optimizer.lr"]) - 0.3)
        run.mkdir(parents=True)
        write_json(run / METRICS_FILE, {"val/f1": value})
        self.journal.note("finished", given["trial"], value)
        return value


def time_calls(spent: Any) -> None:
    """Adds up, in memory that outlives this process, what it spends in calls of the storage."""
    patient, depth = PatientStorage.call_patiently, [0]

    def timed(self: PatientStorage, *args: Any, **kwargs: Any) -> Any:
        start = time.monotonic()
        depth[0] += 1
        try:
            return patient(self, *args, **kwargs)
        finally:
            depth[0] -= 1
            if not depth[0]:
                spent.value += time.monotonic() - start

    PatientStorage.call_patiently = timed  # type: ignore[method-assign]


def work(
    root: DictConfig, seconds: float, journal: Journal, log: Path, spent: c_double
) -> NoReturn:
    """One worker, in a process that was forked for it; it ends with the study."""
    code = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        sys.stdout = sys.stderr = os.fdopen(handle, "w", buffering=1)  # of pytest, or a terminal
        time_calls(spent)
        Worker(root, Sleeper(root, seconds, journal, spent)).work()
        code = 0
    except SystemExit as error:
        print(error, flush=True)
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    os._exit(code)
