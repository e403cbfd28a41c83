"""The loop of a search: draw a trial, run it, tell its value, until the study has n."""

import atexit
import gc
import time
from functools import partial
from pathlib import Path

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig
from optuna.samplers import RandomSampler
from optuna.trial import FrozenTrial, Trial

from lightning_modules.config import COMPOSING, explain
from lightning_modules.errors import ConfigError
from lightning_modules.reporting import progress, result
from lightning_modules.search.custom_space import custom_overrides
from lightning_modules.search.fixed_values import POINT, default_value, draw_again, next_point
from lightning_modules.search.objectives import objectives_of
from lightning_modules.search.ownership import begin_trial, open_trial
from lightning_modules.search.samplers import FixedValuesSampler, sampler_for
from lightning_modules.search.schema import chosen_sampler, kind_of
from lightning_modules.search.space import as_override, distributions, search_space
from lightning_modules.search.storage import open_study
from lightning_modules.search.trial_job import excess_of
from lightning_modules.search.trials import (
    best_trials,
    counts,
    end_trial,
    finish_orphans,
    mark_failed,
    record_of,
    records_of,
    trial_folder,
    write_table,
)

Batch = list[tuple[Trial, list[str]]]  # with the overrides of each


class Worker:
    """One process at work on the study of a composed multirun; the launcher runs jobs."""

    def __init__(self, root: DictConfig, launcher: Launcher) -> None:
        self.root, self.launcher, self.settings = root, launcher, root.hydra.sweeper
        self.folder, self.names = Path(root.hydra.sweep.dir), objectives_of(root)
        self.space = search_space(root)
        self.distributions, self.constant = distributions(self.space)
        sampler = chosen_sampler(root)
        self.grid = kind_of(sampler, len(self.names)) == "grid"
        self.study = open_study(root)
        self.sampler = partial(sampler_for, sampler, seed=root.seed, objectives=len(self.names))

    def work(self) -> None:
        """Runs trials until the study has as many as asked for; finished ones are never repeated.

        Raises:
            ConfigError: more trials raised than `max_failure_rate` allows.
        """
        own = raised = 0
        while batch := self._ask():
            raised += self._run(batch)
            if not own:
                _freeze_libraries()
            own += len(batch)
            if raised / own > self.settings.max_failure_rate:
                raise ConfigError(
                    f"{raised} of {own} trials failed, more than sweep.max_failure_rate="
                    f"{self.settings.max_failure_rate} allows; their reasons stand in failed.txt "
                    f"of {self.folder / 'trials'}."
                )
        write_table(self.study, self.folder)

    def _ask(self) -> Batch:
        """As many new trials as may run at once; none where n are there.

        What other processes left behind when they ended makes room first.
        """
        self.study.sampler = RandomSampler()  # draws nothing for trials that others began
        finish_orphans(self.study, self.folder, self.names, list(self.root.sweep.mark_failed))
        batch: Batch = []
        free = self.settings.n_trials - self._count_trials()
        for _ in range(min(self.settings.n_jobs, free)):
            if (begun := self._begin()) is None:
                break
            self._choose_sampler(begun)
            trial = open_trial(self.study, begun)
            if self._count_trials(before=trial.number) >= self.settings.n_trials:
                mark_failed(self.study, trial, "another worker was faster", self.folder)
                break
            batch.append((trial, self._overrides(trial)))
        return batch

    def _begin(self) -> FrozenTrial | None:
        """A new trial without parameters; None where a grid has no point left."""
        if not self.grid:
            return begin_trial(self.study)
        point = next_point(self.distributions, self.study.get_trials(deepcopy=False))
        return None if point is None else begin_trial(self.study, **{POINT: point})

    def _choose_sampler(self, trial: FrozenTrial) -> None:
        """Sets who draws a trial: the values are known of a grid's, and of the study's first.

        Any other is drawn until it is a new one within the limits.
        """
        self.study.sampler = sampler = self.sampler(number=trial.number)
        if self.grid:
            known = trial.user_attrs[POINT].get
        elif not self._count_trials(before=trial.number):
            known = partial(default_value, self.root)
        elif redraws := self.root.sweep.redraws:

            def excess(draft: Trial) -> float:
                return excess_of(self.root, self._overrides(draft))

            other = self.sampler(number=trial.number)
            known = draw_again(self.study, trial, other, excess, 1 + redraws).get
        else:
            return
        self.study.sampler = FixedValuesSampler(known, sampler)

    def _count_trials(self, before: int | None = None) -> int:
        """How many trials count, of all or of those before a number."""
        return sum(map(counts, self.study.get_trials(deepcopy=False)[:before]))

    def _overrides(self, trial: Trial) -> list[str]:
        for name, distribution in self.distributions.items():
            distribution.draw(trial, name)
        drawn = [as_override(*pair) for pair in trial.params.items()]
        drawn += custom_overrides(self.root, trial)
        own = [f"trial={trial.number}", f"hydra.sweep.subdir=trials/{trial.number}"]
        return [*self.space.fixed, *self.constant, *drawn, *own]

    def _run(self, batch: Batch) -> int:
        """Runs jobs side by side and tells their values; returns how many raised.

        After Ctrl-C trials at work are marked failed, and the command that goes on is said.
        """
        start = time.perf_counter()
        try:
            jobs = self._launch(batch)
        except (KeyboardInterrupt, SystemExit):
            for trial, _ in batch:
                mark_failed(self.study, trial, "interrupted", self.folder)
            write_table(self.study, self.folder)
            raise SystemExit(
                f"interrupted; the same command continues the study {self.study.study_name}"
            ) from None
        failures = 0
        for (trial, _), job in zip(batch, jobs, strict=True):
            run = trial_folder(self.folder, trial.number)
            told = end_trial(self.study, trial, run, job._return_value, self.names)
            failures += not told  # of the job only the private name does not print, too
            self._show(trial.number, time.perf_counter() - start)
        write_table(self.study, self.folder)
        return failures

    def _show(self, number: int, seconds: float) -> None:
        """Prints `trial 7  val/f1 0.8123  |  8 of 30  |  best 0.8301 (trial 3)  |  12 s`."""
        records, best = records_of(self.study), list(map(record_of, best_trials(self.study)))
        words = f"trial {number}  {result(records[number], self.names)}"
        state = progress(records, best, self.settings.n_trials)
        print(f"{words}  |  {state}  |  {seconds:.0f} s", flush=True)

    def _launch(self, batch: Batch) -> list[JobReturn]:
        """A trial that cannot even be composed fails alone."""
        try:
            overrides = [tuple(words) for _, words in batch]
            return list(self.launcher.launch(overrides, initial_job_idx=batch[0][0].number))
        except COMPOSING as error:
            if len(batch) > 1:
                return [job for one in batch for job in self._launch([one])]
            job = JobReturn()
            job.status, job.return_value = JobStatus.FAILED, ConfigError(explain(error))
            return [job]


def _freeze_libraries() -> None:
    """Lets collections pass over what the first trial loaded: each would take 0.3 s for it."""
    gc.collect()
    gc.freeze()
    atexit.register(gc.unfreeze)  # or libraries complain of what is left at the exit
