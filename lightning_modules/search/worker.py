"""The loop of a search: draw a trial, run it, tell its value, until the study has n."""

import atexit
import gc
import time
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig
from optuna.samplers import RandomSampler
from optuna.trial import FrozenTrial, Trial, TrialState

from lightning_modules.config import COMPOSING, explain
from lightning_modules.errors import ConfigError
from lightning_modules.search.custom_space import custom_overrides
from lightning_modules.search.failure_rate import FailureRate
from lightning_modules.search.fixed_values import (
    POINT,
    begins_as_it_stands,
    default_value,
    draw_again,
    next_point,
)
from lightning_modules.search.liveness import Watch
from lightning_modules.search.objectives import objectives_of
from lightning_modules.search.opened_study import trial_of
from lightning_modules.search.orphans import (
    finish_orphans,
    lacks_its_end,
    take_over_one,
    tell_what_is_left,
)
from lightning_modules.search.ownership import OWNER, begin_trial, heartbeat, open_trial
from lightning_modules.search.samplers import FixedValuesSampler, sampler_for
from lightning_modules.search.schema import chosen_sampler, kind_of
from lightning_modules.search.space import as_override, distributions, search_space
from lightning_modules.search.standing import Standing
from lightning_modules.search.storage import open_study
from lightning_modules.search.trial_job import excess_of
from lightning_modules.search.trials import (
    LATE,
    OUTSIDE,
    RETIRED,
    counts,
    end_trial,
    mark_failed,
    trial_folder,
    unless_finished,
)
from lightning_modules.slurm import SubmissionError

LOOK_SECONDS = 2  # between two looks at trials that are waited for


class Worker:
    """One process at work on the study of a composed multirun; the launcher runs jobs.

    Args:
        root: the composed multirun.
        launcher: runs a job.
        failures: of the trials of the command, which may have several workers.
        waits: whether it stays for trials that nobody else waits for.
    """

    def __init__(
        self,
        root: DictConfig,
        launcher: Launcher,
        failures: FailureRate | None = None,
        *,
        waits: bool = True,
    ) -> None:
        self.root, self.launcher, self.settings = root, launcher, root.hydra.sweeper
        self.folder, self.names = Path(root.hydra.sweep.dir), objectives_of(root)
        self.space = search_space(root)
        self.distributions, self.constant = distributions(self.space)
        sampler = chosen_sampler(root.hydra)
        self.grid = kind_of(sampler, len(self.names)) == "grid"
        self.study = open_study(root)
        self.sampler = partial(sampler_for, sampler, seed=root.seed, objectives=len(self.names))
        self.watch, self.standing = (
            Watch(root.sweep.silent_minutes),
            Standing(self.study, self.folder),
        )
        self.failures, self.waits = failures or FailureRate(self.settings.max_failure_rate), waits
        self.trials: list[FrozenTrial] = []  # as they were at the last look
        self.waited_for: set[int] = set()

    def work(self) -> None:
        """Runs trials until the study has as many as asked for; finished ones are never repeated.

        Raises:
            ConfigError: more trials raised than `max_failure_rate` allows.
        """
        first = True
        while not self.failures.exceeded and (asked := self._ask()):
            self.failures.add(raised=self._run(*asked))
            if first:
                _freeze_libraries()
            first = False
        self.standing.write(self.study.get_trials(deepcopy=False))
        if self.failures.exceeded:
            raise ConfigError(
                f"{self.failures.raised} of {self.failures.ended} trials failed, more than "
                f"sweep.max_failure_rate={self.settings.max_failure_rate} allows; their reasons "
                f"stand in failed.txt of {self.folder / 'trials'}."
            )

    def _ask(self) -> tuple[Trial, list[str]] | None:
        """A new trial and its overrides; None where n are there.

        What other processes left behind when they ended makes room first, or is brought to its end.
        """
        while True:
            self._look()
            if (begun_before := take_over_one(self.study, self.root, self.watch)) is not None:
                return begun_before
            if self._count_trials() < self.settings.n_trials and (begun := self._begin()):
                if not self._is_late(begun):
                    self._choose_sampler(begun)
                    trial = open_trial(self.study, begun)
                    return trial, self._overrides(trial)
                trial = open_trial(self.study, begun)
                mark_failed(self.study, trial, LATE, self.folder)
            elif not self._waits_for_others():
                return None

    def _look(self) -> None:
        """Ends trials that nobody tends, and reads all anew."""
        self.study.sampler = RandomSampler()  # draws nothing for trials that others began
        self.trials = finish_orphans(self.study, self.root, self.watch)

    def _begin(self) -> FrozenTrial | None:
        """A new trial without parameters; None where a grid has no point left."""
        if not self.grid:
            return begin_trial(self.study)
        point = next_point(self.distributions, self.trials)
        return None if point is None else begin_trial(self.study, **{POINT: point})

    def _is_late(self, begun: FrozenTrial) -> bool:
        """Whether another worker took the last place, or the point of a grid, a moment before."""
        self.trials = self.study.get_trials(deepcopy=False)
        point = begun.user_attrs.get(POINT)
        others = filter(counts, self.trials[: begun.number])
        if self._count_trials(before=begun.number) >= self.settings.n_trials:
            return True
        return point is not None and any(one.user_attrs.get(POINT) == point for one in others)

    def _waits_for_others(self) -> bool:
        """Waits a moment where trials are at work that nobody waits for; each is said once."""
        alone = [one for one in self.trials if self.waits and self._is_left_alone(one)]
        for one in (one for one in alone if one.number not in self.waited_for):
            owner = one.user_attrs[OWNER]
            who = f"job {owner['job']}" if owner.get("job") else f"process {owner['pid']}"
            print(f"waiting  for trial {one.number}: {who} on {owner['host']}", flush=True)
            self.waited_for.add(one.number)
        if alone:
            time.sleep(LOOK_SECONDS)
        return bool(alone)

    def _is_left_alone(self, one: FrozenTrial) -> bool:
        if one.state != TrialState.RUNNING or RETIRED in one.user_attrs:
            return False
        return self.watch.is_left_alone(one, trial_folder(self.folder, one.number))

    def _choose_sampler(self, trial: FrozenTrial) -> None:
        """Sets who draws a trial: the values are known of a grid's, and of the study's first.

        Any other is drawn until it is a new one within the limits.
        """
        self.study.sampler = sampler = self.sampler(number=trial.number)
        if self.grid:
            known = trial.user_attrs[POINT].get
        elif begins_as_it_stands(self.trials[: trial.number]):
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
        """How many trials counted at the last look, of all or of those before a number."""
        return sum(map(counts, self.trials[:before]))

    def _overrides(self, trial: Trial) -> list[str]:
        for name, distribution in self.distributions.items():
            distribution.draw(trial, name)
        drawn = [as_override(*pair) for pair in trial.params.items()]
        drawn += custom_overrides(self.root, trial)
        own = [f"trial={trial.number}", f"hydra.sweep.subdir=trials/{trial.number}"]
        return [*self.space.fixed, *self.constant, *drawn, *own]

    def _run(self, trial: Trial, overrides: list[str]) -> bool:
        """Runs a job, whose value is told then at the latest; returns whether it raised.

        After Ctrl-C the trial is marked failed, and the command that goes on is said.

        Raises:
            ConfigError: it raised for what every other one would, such as a full disk.
        """
        start = time.perf_counter()
        try:
            with heartbeat(trial):
                job = self._launch(trial.number, overrides)
            self._end(trial, job)
        except (KeyboardInterrupt, SystemExit):
            self._replace(trial, "interrupted")
            self.standing.write(self.study.get_trials(deepcopy=False))
            raise SystemExit(
                f"interrupted; the same command continues the study {self.study.study_name}"
            ) from None
        except SubmissionError as error:
            self._replace(trial, str(error))
            raise
        trials = self.study.get_trials(deepcopy=False)
        line = self.standing.line(trials, trial.number, self.settings.n_trials)
        print(f"{line}  |  {time.perf_counter() - start:.0f} s", flush=True)
        self.standing.write(trials, at_once=False)
        ended = trials[trial.number]
        why = ended.user_attrs.get(RETIRED, "")
        if any(words in why for words in OUTSIDE):
            raise ConfigError(
                f"Trial {trial.number} could not go on, and no other could: {why.rstrip('.')}. The "
                "same command continues the study once that is mended."
            )
        return ended.state == TrialState.FAIL and RETIRED not in ended.user_attrs

    def _launch(self, number: int, overrides: list[str]) -> JobReturn:
        """What became of a job; where the launcher itself fails, the trial fails alone.

        Raises:
            SubmissionError: it would be so with every job.
        """
        try:
            (job,) = self.launcher.launch([tuple(overrides)], initial_job_idx=number)
            return job
        except SubmissionError:
            raise
        except COMPOSING as error:
            reason = explain(error)
        except Exception as error:  # the launcher's own: a process of its pool was killed
            reason = f"its job failed: {' '.join(f'{type(error).__name__}: {error}'.split())}"
        job = JobReturn()
        job.status, job.return_value = JobStatus.FAILED, ConfigError(reason)
        return job

    def _end(self, trial: Trial, job: JobReturn) -> None:
        """Tells a trial what its job could not tell itself."""
        one = trial_of(self.study, trial.number)
        if one.state.is_finished() or RETIRED in one.user_attrs:
            return
        returned: Any = job._return_value  # the public name prints, too
        with unless_finished():
            if isinstance(returned, Exception) and tell_what_is_left(self.study, trial, self.root):
                return
            run = trial_folder(self.folder, trial.number)
            end_trial(self.study, trial, run, returned, self.names)

    def _replace(self, trial: Trial, why: str) -> None:
        """Has a trial replaced, unless its run is whole or goes on without us, or later."""
        run = trial_folder(self.folder, trial.number)
        if lacks_its_end(run) or self.watch.is_job(trial_of(self.study, trial.number), run):
            return
        with unless_finished():
            if not tell_what_is_left(self.study, trial, self.root):
                mark_failed(self.study, trial, why, self.folder)


def _freeze_libraries() -> None:
    """Lets collections pass over what the first trial loaded: each would take 0.3 s for it."""
    gc.collect()
    gc.freeze()
    atexit.register(gc.unfreeze)  # or libraries complain of what is left at the exit
