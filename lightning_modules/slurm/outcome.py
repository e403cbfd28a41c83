"""What a job that has ended left: its result, its run's folder, or SLURM's word for its end."""

import logging
import pickle
from pathlib import Path
from typing import Any

from hydra._internal.callbacks import Callbacks
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig

from lightning_modules.errors import ConfigError
from lightning_modules.runs import FAILED, failure_of, read_metrics
from lightning_modules.slurm.controller import JobInfo
from lightning_modules.slurm.job_record import RECORD, JobRecord
from lightning_modules.slurm.waiting import NOT_STARTED

log = logging.getLogger(__name__)

REASONS = {
    "BOOT_FAIL": "its node did not start",
    "CANCELLED": "it was cancelled",
    "DEADLINE": "it could not end before its deadline",
    "NODE_FAIL": "its node failed",
    "OUT_OF_MEMORY": "it needed more memory than it was given; raise hydra.launcher.mem_gb",
    "PREEMPTED": "it was preempted, and SLURM did not requeue it",
    "TIMEOUT": "it reached its time limit; raise hydra.launcher.timeout_min",
    NOT_STARTED: "it did not start within hydra.launcher.max_pending_min ({reason})",
}


def judge(
    run: DictConfig, record: JobRecord, end: JobInfo | None, callbacks: Callbacks
) -> JobReturn:
    """What Hydra would have been returned of a run.

    A run whose folder says that it is finished is so, however its job ended. Of a failure that
    no job could tell them, Hydra's callbacks hear here.

    Args:
        run: its composed configuration, with `hydra`.
        record: of its job.
        end: SLURM's word; None: it has forgotten the job.
        callbacks: Hydra's.
    """
    outcome, result = _read_result(record.result)
    if outcome == "success" and isinstance(result, JobReturn):
        return result
    folder = Path(run.hydra.runtime.output_dir)
    returned = JobReturn()
    try:
        metrics = read_metrics(folder)
    except (OSError, ConfigError):
        why = _failure(folder) or (result if outcome == "error" else _sentence(record, end))
        returned.status, returned.return_value = JobStatus.FAILED, ConfigError(why)
        callbacks.on_job_end(config=run, job_return=returned)
        return returned
    single = isinstance(run.objective, str)
    values = [metrics.get(name) for name in ([run.objective] if single else run.objective)]
    returned.status, returned.return_value = JobStatus.COMPLETED, values[0] if single else values
    return returned


def _read_result(file: Path) -> tuple[str, Any]:
    """What submitit's job wrote last: `success` and its result, or `error` and one line."""
    try:
        outcome, result = pickle.loads(file.read_bytes())
    except FileNotFoundError:
        return "none", None
    except Exception as error:  # whatever a pickle of another version raises
        log.warning(f"{file} cannot be read: {type(error).__name__}: {error}")
        return "none", None
    if outcome == "error":
        last = str(result).strip().splitlines()[-1]
        return outcome, f"{last} (traceback in {file.parent})"
    return outcome, result


def _failure(folder: Path) -> str | None:
    """Why a run failed, where this job noted it; not what an earlier one did."""
    try:
        newer = (folder / FAILED).stat().st_mtime_ns >= (folder / RECORD).stat().st_mtime_ns
    except OSError:
        return None
    return failure_of(folder) if newer else None


def _sentence(record: JobRecord, end: JobInfo | None) -> str:
    """Why a job left nothing, in a sentence."""
    logs = f"what it said stands in {record.logs}"
    if end is None:
        return f"SLURM has forgotten job {record.job}, which left no result; {logs}."
    reason = REASONS.get(end.state, f"it ended as {end.state} without a result")
    return f"SLURM job {record.job}: {reason.format(reason=end.reason)}; {logs}."
