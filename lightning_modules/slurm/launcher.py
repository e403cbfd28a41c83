"""`RunLauncher`: submits a multirun's jobs to SLURM and waits for them, one failing alone.

submitit's own waits by the accounting alone, ends at the first job without a result, and knows
nothing of jobs that were submitted before.
"""

import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn
from hydra.types import HydraContext, TaskFunction
from hydra_plugins.hydra_submitit_launcher.submitit_launcher import SlurmLauncher
from omegaconf import DictConfig, open_dict

from lightning_modules.errors import ConfigError
from lightning_modules.files import write_text
from lightning_modules.runs import FAILED
from lightning_modules.slurm.controller import cancel, requeue
from lightning_modules.slurm.job_record import JobRecord, own_job, read_record
from lightning_modules.slurm.outcome import judge
from lightning_modules.slurm.submission import submit
from lightning_modules.slurm.waiting import Limits, wait_for
from lightning_modules.slurm.watching import JobState, job_state

log = logging.getLogger(__name__)


class RunLauncher(SlurmLauncher):
    """One job for each run; what SLURM does to one of them is that run's alone.

    A job that is preempted, or reaches its time limit, is requeued under its id, and goes on in
    its own folder from the last whole epoch. A job that lives, and that another process submitted
    with the same overrides for the same folder, is taken over instead of a second one.
    """

    def __init__(
        self, *, max_pending_min: float | None, max_silent_min: float, **params: Any
    ) -> None:
        super().__init__(**params)
        pending = None if max_pending_min is None else 60 * max_pending_min
        self.limits = Limits(pending, 60 * max_silent_min)

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Takes what the jobs are to do."""
        task = _Requeued(task_function, self.params["max_num_timeout"])
        super().setup(hydra_context=hydra_context, task_function=task, config=config)

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Runs jobs to their ends; of one that failed the reason is returned.

        Raises:
            SubmissionError: SLURM takes none, or its controller is silent for too long.
        """
        overrides = [list(words) for words in job_overrides]
        runs = [self._composed(one, initial_job_idx + n) for n, one in enumerate(overrides)]
        records = self._records(runs, overrides, initial_job_idx)
        results = {record.job: record.result for record in records}
        try:
            ends = wait_for(results, self.limits)
        except KeyboardInterrupt:
            cancel(results)
            raise
        assert self.hydra_context is not None
        hear = self.hydra_context.callbacks
        pairs = zip(runs, records, strict=True)
        return [judge(run, record, ends[record.job], hear) for run, record in pairs]

    def checkpoint(self, *_: Any, **__: Any) -> None:
        """In a job that SLURM is about to end: has it run again, unless it did often enough.

        submitit, which calls this on SIGUSR2, would end the run with an error where SLURM
        requeues the job itself.

        Raises:
            SystemExit: always; the run ends here, and keeps its last whole epoch.
        """
        limit, job = self.params["max_num_timeout"], own_job()
        if _restarts() < limit:
            agreed = job is not None and requeue(job)
            sentence = f"SLURM ends this job; {'it is requeued' if agreed else 'no requeue by it'}."
        else:
            sentence = _too_often(limit)
            if HydraConfig.initialized():
                folder = Path(HydraConfig.get().runtime.output_dir)
                write_text(folder / FAILED, f"{sentence}\n")
        print(sentence, file=sys.stderr, flush=True)
        raise SystemExit(1)

    def _composed(self, overrides: list[str], number: int) -> DictConfig:
        """A run's configuration, as its job will compose it, but for the job's id."""
        assert self.hydra_context is not None and self.config is not None
        loader = self.hydra_context.config_loader
        run = loader.load_sweep_config(self.config, overrides)
        with open_dict(run.hydra):
            run.hydra.job.num, run.hydra.job.id = number, f"job_id_for_{number}"
            folder = Path(run.hydra.sweep.dir, run.hydra.sweep.subdir).absolute()
            run.hydra.runtime.output_dir = str(folder)
        return run

    def _records(
        self, runs: list[DictConfig], overrides: list[list[str]], first: int
    ) -> list[JobRecord]:
        """The jobs at work on runs: those that live already, and new ones for the others."""
        folders = [Path(run.hydra.runtime.output_dir) for run in runs]
        pairs = list(zip(folders, overrides, strict=True))
        found = {n: record for n, pair in enumerate(pairs) if (record := _living(*pair))}
        new = [n for n in range(len(runs)) if n not in found]
        state = Singleton.get_state()
        arguments = [
            (overrides[n], "hydra.sweep.dir", first + n, f"job_id_for_{first + n}", state)
            for n in new
        ]
        jobs = submit(self, arguments, self.params, self.limits.silent) if new else []
        for n, job in zip(new, jobs, strict=True):
            logs = Path(str(self.params["submitit_folder"]).replace("%j", job)).absolute()
            found[n] = JobRecord(job, str(logs), overrides[n])
            found[n].write(folders[n])
        for n, folder in enumerate(folders):
            word = "submitted" if n in new else "at work already"
            log.info(f"SLURM job {found[n].job} {word}: {folder}")
        return [found[n] for n in range(len(runs))]


class _Requeued:
    """A task that SLURM itself may have requeued, but not for ever."""

    def __init__(self, task: Callable[[Any], Any], limit: int) -> None:
        self.task, self.limit = task, limit

    def __call__(self, cfg: DictConfig) -> Any:
        if _restarts() > self.limit:
            raise ConfigError(_too_often(self.limit))
        # Processes that read images hear of the job's signals, too, which are not theirs.
        os.register_at_fork(after_in_child=lambda: signal.signal(signal.SIGUSR2, signal.SIG_IGN))
        return self.task(cfg)


def _living(folder: Path, overrides: list[str]) -> JobRecord | None:
    record = read_record(folder)
    if record is None or record.overrides != overrides:
        return None
    return record if job_state(record.job) is JobState.ALIVE else None


def _restarts() -> int:
    """How often SLURM has begun this job anew."""
    return int(os.environ.get("SLURM_RESTART_COUNT", "0"))


def _too_often(limit: int) -> str:
    return (
        f"The job was preempted, or reached its time limit, {limit + 1} times; raise "
        "hydra.launcher.timeout_min or hydra.launcher.max_num_timeout."
    )
