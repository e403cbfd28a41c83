"""`slurm.json` in a run's folder: the SLURM job that works on the run, or waits to."""

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lightning_modules.files import read_json, write_json

RECORD = "slurm.json"


@dataclass(frozen=True)
class JobRecord:
    """What was submitted for a run.

    Attributes:
        job: SLURM's id, `17` or, of an array, `17_3`.
        logs: the folder of submitit, with the job's output and its result.
        overrides: what the job was told; a job that was told something else is not this run's.
    """

    job: str
    logs: str
    overrides: list[str]

    @property
    def result(self) -> Path:
        """The file that submitit writes when the job has run."""
        return Path(self.logs) / f"{self.job}_0_result.pkl"

    def write(self, run: Path) -> None:
        """Leaves it in a run's folder, which is made where it is absent."""
        run.mkdir(parents=True, exist_ok=True)
        write_json(run / RECORD, asdict(self))


def read_record(run: Path) -> JobRecord | None:
    """What was submitted last for a run; None: nothing, or nobody can say."""
    try:
        found: dict[str, Any] = read_json(run / RECORD)
        return JobRecord(str(found["job"]), str(found["logs"]), list(found["overrides"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def job_of(run: Path) -> str | None:
    """The SLURM job that was submitted last for a run; it may have ended."""
    record = read_record(run)
    return None if record is None else record.job


def own_job() -> str | None:
    """The SLURM job that this process is, where submitit started it; None elsewhere.

    A shell of `salloc` is no such job, though its processes know an id too.
    """
    if os.environ.get("SUBMITIT_EXECUTOR") != "slurm":
        return None
    array, task = (os.environ.get(f"SLURM_ARRAY_{part}_ID") for part in ("JOB", "TASK"))
    return os.environ.get("SLURM_JOB_ID") if array is None else f"{array}_{task}"
