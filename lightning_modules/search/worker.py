"""The loop of a search: draw a trial, run it, tell its value, until the study has n."""

import atexit
import contextlib
import gc
import itertools
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import optuna
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig
from optuna.trial import FrozenTrial, Trial, TrialState

from lightning_modules.config import COMPOSING, explain
from lightning_modules.errors import ConfigError
from lightning_modules.files import read_json
from lightning_modules.runs import STOPPED
from lightning_modules.search import progress
from lightning_modules.search.cost_limits import OVER_LIMITS
from lightning_modules.search.custom_space import custom_overrides
from lightning_modules.search.grid import next_point
from lightning_modules.search.independent_samplers import FixedValuesSampler, default_value
from lightning_modules.search.objectives import checked_values, directions_of, objectives_of
from lightning_modules.search.progress import write_table
from lightning_modules.search.redraw import counted_limits, draw_again, excess_of
from lightning_modules.search.samplers import kind_of, sampler_for
from lightning_modules.search.space import as_override, distributions, search_space
from lightning_modules.search.storage import open_study
from lightning_modules.search.trials import (
    FAILURE,
    METRICS,
    PRUNED,
    VIOLATION,
    counts,
    finish_orphans,
    mark_failed,
    metrics_left,
    new_trial,
    trial_folder,
)


class Worker:
    """One process at work on a study.

    Args:
        root: the composed multirun.
        launcher: runs jobs.
    """

    def __init__(self, root: DictConfig, launcher: Launcher) -> None:
        self.root, self.launcher = root, launcher
        self.folder = Path(root.hydra.sweep.dir)
        self.names, self.directions = objectives_of(root), directions_of(root)
        self.space = search_space(root)
        self.distributions, self.constant = distributions(self.space)
        self.grid = kind_of(root.hydra.sweeper.sampler, objectives=len(self.names)) == "grid"
        self.limits = counted_limits(root)
        self.study = open_study(root)

    def work(self) -> None:
        """Runs trials until the study has as many as asked for; finished ones are never repeated.

        Raises:
            ConfigError: more trials raised than `max_failure_rate` allows.
        """
        settings = self.root.hydra.sweeper
        own = raised = 0
        self._choose_sampler(0)  # finishing orphans, too, tells the sampler
        while True:
            finish_orphans(self.study, self.folder, self.names, list(self.root.sweep.mark_failed))
            taken = sum(map(counts, self.study.get_trials(deepcopy=False)))
            batch = self._ask(min(settings.n_jobs, settings.n_trials - taken))
            if not batch:
                break
            failures = self._run(batch)
            if not own:
                _freeze_libraries()
            own, raised = own + len(batch), raised + failures
            if raised / own > settings.max_failure_rate:
                raise ConfigError(
                    f"{raised} of {own} trials failed, more than sweep.max_failure_rate="
                    f"{settings.max_failure_rate} allows; their reasons stand in failed.txt of "
                    f"{self.folder / 'trials'}."
                )
        write_table(self.study, self.folder, self.names)

    def _ask(self, count: int) -> list[tuple[Trial, list[str]]]:
        """So many new trials, each with its overrides; fewer where others were faster."""
        batch = []
        for _ in range(count):
            template = self._template()
            if template is None:
                break
            storage = self.study._storage
            # Owner and trial come into being together: no kill can leave one without the other.
            trial_id = storage.create_new_trial(self.study._study_id, template_trial=template)
            number = storage.get_trial_number_from_id(trial_id)
            self._choose_sampler(number)
            self._draw_again(trial_id)
            trial = Trial(self.study, trial_id)
            if self._is_surplus(number):
                mark_failed(self.study, trial, "another worker was faster", self._place(number))
                break
            batch.append((trial, self._overrides(trial)))
        return batch

    def _template(self) -> FrozenTrial | None:
        """What a trial is when it begins; None where a grid has no point left."""
        system = {}
        if self.grid:
            point = next_point(self.distributions, self.study.get_trials(deepcopy=False))
            if point is None:
                return None
            system = {"fixed_params": point}
        return new_trial(**system)

    def _choose_sampler(self, number: int) -> None:
        if self.grid:
            self.study.sampler = optuna.samplers.RandomSampler(seed=0)  # nothing is left to draw
            return
        sampler = sampler_for(
            self.root.hydra.sweeper.sampler,
            number=number,
            seed=self.root.seed,
            objectives=len(self.names),
        )
        first = self._began_before(number) == 0
        defaults = partial(default_value, self.root)
        self.study.sampler = FixedValuesSampler(defaults, sampler) if first else sampler

    def _draw_again(self, trial_id: int) -> None:
        """Lets the sampler draw until the trial is a new one within the limits."""
        fixed = isinstance(self.study.sampler, FixedValuesSampler)  # which would draw the same
        if self.root.sweep.redraws and not self.grid and not fixed:
            tries = 1 + self.root.sweep.redraws
            point = draw_again(self.study, trial_id, self._excess, tries)
            self.study.sampler = FixedValuesSampler(point.get, self.study.sampler)

    def _excess(self, candidate: Trial) -> float:
        overrides = self._overrides(candidate)
        return excess_of(self.root, overrides, self.limits) if self.limits else 0.0

    def _is_surplus(self, number: int) -> bool:
        """Whether n trials that count began before this one: another worker asked just then."""
        return self._began_before(number) >= self.root.hydra.sweeper.n_trials

    def _began_before(self, number: int) -> int:
        """How many trials that count have a smaller number."""
        earlier = [t for t in self.study.get_trials(deepcopy=False) if t.number < number]
        return sum(map(counts, earlier))

    def _overrides(self, trial: Trial) -> list[str]:
        for name, distribution in self.distributions.items():
            trial._suggest(name, distribution)
        drawn = [as_override(*pair) for pair in trial.params.items()]
        drawn += custom_overrides(self.root, trial)
        own = [f"trial={trial.number}", f"hydra.sweep.subdir=trials/{trial.number}"]
        return [*self.space.fixed, *self.constant, *drawn, *own]

    def _run(self, batch: Sequence[tuple[Trial, list[str]]]) -> int:
        """Runs jobs side by side and tells their values; returns how many raised."""
        start = time.perf_counter()
        with self._interruption([trial for trial, _ in batch]):
            jobs = list(self._launch(batch))
        failures = 0
        for (trial, _), job in zip(batch, jobs, strict=True):
            failures += self._tell(trial, job)
            progress.show(self.study, trial.number, self.root, time.perf_counter() - start)
        write_table(self.study, self.folder, self.names)
        return failures

    def _launch(self, batch: Sequence[tuple[Trial, list[str]]]) -> Iterator[JobReturn]:
        """A trial that cannot even be composed fails alone."""
        overrides = [tuple(words) for _, words in batch]
        try:
            yield from self.launcher.launch(overrides, initial_job_idx=batch[0][0].number)
        except COMPOSING as error:
            if len(batch) > 1:
                yield from itertools.chain(*(self._launch([one]) for one in batch))
                return
            job = JobReturn()
            job.status, job.return_value = JobStatus.FAILED, ConfigError(explain(error))
            yield job

    def _tell(self, trial: Trial, job: JobReturn) -> bool:
        """Tells the study how a trial ended; returns whether it failed."""
        folder = self._place(trial.number)
        found = metrics_left(folder)
        if (folder / OVER_LIMITS).is_file():
            over = read_json(folder / OVER_LIMITS)
            found |= over["costs"]
            trial.set_user_attr(VIOLATION, over["violation"])
        if (folder / STOPPED).is_file():
            trial.set_user_attr(PRUNED, read_json(folder / STOPPED)["epoch"])
        trial.set_user_attr(METRICS, found)
        try:
            if job.status != JobStatus.COMPLETED:
                raise job._return_value
            values = checked_values(job.return_value, self.names)
        except Exception as error:
            trial.set_user_attr(FAILURE, " ".join(str(error).split())[:1000])
            self.study.tell(trial, state=TrialState.FAIL)
            return True
        self.study.tell(trial, values)
        return False

    @contextlib.contextmanager
    def _interruption(self, trials: list[Trial]) -> Iterator[None]:
        """Ctrl-C: trials at work are marked failed, and the command that goes on is said."""
        try:
            yield
        except (KeyboardInterrupt, SystemExit):
            for trial in trials:
                mark_failed(self.study, trial, "interrupted", self._place(trial.number))
            write_table(self.study, self.folder, self.names)
            raise SystemExit(
                f"interrupted; the same command continues the study {self.study.study_name}"
            ) from None

    def _place(self, number: int) -> Path:
        return trial_folder(self.folder, number)


def _freeze_libraries() -> None:
    """Lets collections pass over what the first trial loaded: each would take 0.3 s for it."""
    gc.collect()
    gc.freeze()
    atexit.register(gc.unfreeze)  # or libraries complain of what is left at the exit
