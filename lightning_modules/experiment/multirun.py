"""What a multirun (`-m`) does around its trials: it outlives failures and ends with the spread."""

import contextlib
import logging
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig

from lightning_modules.config import searches
from lightning_modules.errors import USER_ERRORS, ConfigError, JobEnded, system_sentence
from lightning_modules.files import write_text
from lightning_modules.runs import FAILED, study_records

log = logging.getLogger(__name__)


class CloseMultirun(Callback):
    """Hydra's hook: notes trials that fail, and closes with mean and spread over repetitions.

    Hydra only warns of ordinary exceptions in its callbacks; then the sweep ends as Hydra's own.
    """

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **_: Any) -> None:
        """Notes the failure of a trial, and lets a plain multirun go on after it."""
        folder = Path(config.hydra.runtime.output_dir)
        if job_return.status == JobStatus.COMPLETED:
            (folder / FAILED).unlink(missing_ok=True)  # of an earlier try, now resumed
        elif config.hydra.mode == RunMode.MULTIRUN:
            reason = note_failure(folder, job_return._return_value)
            if searches(config):
                return  # a search must see that the trial failed
            log.error(f"trial {config.hydra.job.num} failed: {reason}")
            # The plain sweeper would stop at the first one; `close` says it after the last trial.
            job_return.status = JobStatus.COMPLETED

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        """Closes the study, as `close`."""
        try:
            close(Path(config.hydra.sweep.dir), config)
        except Exception as error:  # Hydra would only warn, and failed trials go unnoticed
            sentence = system_sentence(error) if isinstance(error, OSError) else None
            said = f"error: {sentence}" if sentence else traceback.format_exc()  # of a bug of ours
            raise SystemExit(said) from None


@contextlib.contextmanager
def fails_alone() -> Iterator[None]:
    """Makes a trial that exits, by `sys.exit` in code of the user's, one that raises.

    So neither its sweep ends nor does its search, which would begin it again and again. What
    interrupts a run, as Ctrl-C or a requeued job does, stays what it is; so does a single run.

    Raises:
        ConfigError: the trial exited.
    """
    try:
        yield
    except SystemExit as error:
        if HydraConfig.get().mode != RunMode.MULTIRUN or _is_interruption(error):
            raise
        raise ConfigError(f"the trial ended itself, by SystemExit({error.code!r}).") from error


def _is_interruption(error: BaseException | None) -> bool:
    """Whether an exit began with Ctrl-C, or with the end of a job; one's name is Lightning's."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt | JobEnded):
            return True
        if type(error).__name__ == "SIGTERMException":
            return True
        error = error.__cause__ or error.__context__
    return False


def close_search(folder: Path) -> None:
    """Shows and writes the winner of a search.

    Raises:
        SystemExit: it has none.
    """
    from lightning_modules.search import show_results  # Optuna: only for a search

    try:
        show_results(folder)
    except ConfigError as error:
        raise SystemExit(f"error: {error}") from None


def note_failure(folder: Path, error: Exception) -> str:
    """Writes `failed.txt`: one line, and below it the traceback of a bug; returns that line."""
    reason = " ".join(str(error).split())
    details = ""
    if not isinstance(error, USER_ERRORS):
        reason = f"{type(error).__name__}: {reason} (traceback in {FAILED})"
        details = "\n" + "".join(traceback.format_exception(error))
    write_text(folder / FAILED, f"{reason}\n{details}")
    return reason


def close(study: Path, config: DictConfig) -> None:
    """Shows and writes the summary where a configuration was tried more than once.

    Raises:
        SystemExit: trials of a plain multirun failed. A search goes on without its failed trials.
    """
    from lightning_modules.reporting import spread_table, tell_spread  # rich: once needed
    from lightning_modules.runs import summarize

    objective = config.objective if isinstance(config.objective, str) else config.objective[0]
    records = study_records(study)
    summary = summarize(records, objective=objective)
    if summary.repeats:
        spread_table.write(summary, study)
        spread_table.show(summary)
        for row in summary.rows:
            if row.repetitions > 1:
                tell_spread(row)
        print(f"summary  {study}: summary.csv, summary.md")
    if searches(config):
        close_search(study)
    elif summary.failures:
        if not summary.repeats:
            print(*spread_table.notes(summary), sep="\n")
        count = f"{len(summary.failures)} of {len(records)} trials"
        raise SystemExit(f"error: {count} failed; the reasons stand above and in their failed.txt.")
