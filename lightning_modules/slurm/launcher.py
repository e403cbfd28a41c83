"""`RunLauncher`: submits a multirun's jobs to SLURM and waits for them, one failing alone.

submitit's own waits by the accounting alone, ends at the first job without a result, and knows
nothing of jobs that were submitted before.
"""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn
from hydra.types import HydraContext, TaskFunction
from hydra_plugins.hydra_submitit_launcher.submitit_launcher import SlurmLauncher
from omegaconf import DictConfig, open_dict

from lightning_modules.errors import ConfigError
from lightning_modules.slurm.controller import cancel
from lightning_modules.slurm.ending import end, hear, leave_if_ended, restarts, too_often
from lightning_modules.slurm.job_record import JobRecord, read_record
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

    def checkpoint(self, *_: Any, **__: Any) -> NoReturn:
        """What submitit calls in a job on SIGUSR2, before SLURM ends it.

        Submitit's own would end the run with an error where SLURM requeues the job itself.

        Raises:
            JobEnded: always.
        """
        end(self.params["max_num_timeout"])

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
    """A task that may be begun several times, but not for ever."""

    def __init__(self, task: Callable[[Any], Any], limit: int) -> None:
        self.task, self.limit = task, limit

    def __call__(self, cfg: DictConfig) -> Any:
        if restarts() > self.limit:  # by SLURM itself
            raise ConfigError(too_often(self.limit))
        hear(self.limit)
        try:
            return self.task(cfg)
        except Exception:
            leave_if_ended()
            raise


def _living(folder: Path, overrides: list[str]) -> JobRecord | None:
    record = read_record(folder)
    if record is None or record.overrides != overrides:
        return None
    return record if job_state(record.job) is JobState.ALIVE else None
