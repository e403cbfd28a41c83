"""Handing jobs to `sbatch`, by submitit, with patience for a controller that is away."""

import contextlib
import io
import logging
import os
import shlex
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf
from omegaconf import OmegaConf

from lightning_modules.slurm.controller import present
from lightning_modules.slurm.errors import SubmissionError

log = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parents[2]
OF_EXECUTOR = ("submitit_folder", "max_num_timeout")
# What `sbatch` says when it is worth trying again.
AWAY = ("unable to contact", "socket timed out", "connection refused", "temporarily", "zero bytes")
PAUSE = 5.0  # seconds between two tries


def submit(
    call: Callable[..., Any],
    arguments: Sequence[tuple[Any, ...]],
    settings: dict[str, Any],
    patience: float,
) -> list[str]:
    """Submits a job for each tuple of arguments, as one array; returns SLURM's ids.

    Args:
        call: what each job calls; it is pickled.
        arguments: of the jobs.
        settings: of `hydra/launcher=submitit_slurm`.
        patience: seconds for which the controller may not answer.

    Raises:
        SubmissionError: SLURM takes no jobs, or not these.
    """
    if not present():
        raise SubmissionError(
            "hydra/launcher=submitit_slurm needs SLURM's commands (sbatch, squeue, scancel, "
            "scontrol), and this computer lacks them; start it on a login node of the cluster."
        )
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    executor = _executor(settings)
    deadline = time.monotonic() + patience
    while True:
        try:
            with contextlib.redirect_stderr(io.StringIO()):  # what sbatch says is said below
                jobs = executor.map_array(call, *zip(*arguments, strict=True))
            return [job.job_id for job in jobs]
        except (FailedJobError, FailedSubmissionError) as error:
            lines = [one.removeprefix("sbatch: error: ") for one in str(error).splitlines()]
            said = "; ".join(filter(None, map(str.strip, lines))).rstrip(".")
            away = any(words in said.lower() for words in AWAY)
            if not away or time.monotonic() > deadline:
                raise SubmissionError(f"SLURM takes no jobs: {said}.") from None
            log.warning(f"SLURM takes no jobs for now, trying on: {said}")
            time.sleep(PAUSE)


def _executor(settings: dict[str, Any]) -> Any:
    """An executor of submitit: its names of sbatch's flags begin with `slurm_`, but for a few."""
    import submitit

    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    given = {key: value for key, value in settings.items() if key not in OF_EXECUTOR}
    given["setup"] = [*(given.get("setup") or []), f"export PYTHONPATH={shlex.quote(path)}"]
    given["additional_parameters"] = {"requeue": True, **(given.get("additional_parameters") or {})}
    shared = set(OmegaConf.structured(BaseQueueConf))
    executor = submitit.AutoExecutor(
        folder=settings["submitit_folder"],
        cluster="slurm",
        slurm_max_num_timeout=settings["max_num_timeout"],
    )
    executor.update_parameters(
        **{key if key in shared else f"slurm_{key}": value for key, value in given.items()}
    )
    return executor
