"""What SLURM says of jobs: `squeue` asks the controller, `sacct` the accounting, if there is one.

The controller knows of a job until `MinJobAge` (300 s by default) after its end; the accounting,
which many clusters lack, for good. Source: the manual pages of both, SLURM 17.11 to 25.05.
"""

import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass

# All others are states of a job that works, waits to, or is being cleared away.
ENDED = frozenset({
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "LAUNCH_FAILED", "NODE_FAIL",
    "OUT_OF_MEMORY", "PREEMPTED", "RECONFIG_FAIL", "REVOKED", "TIMEOUT",
})  # fmt: skip
UNKNOWN_JOB = "Invalid job id"  # what squeue says, and fails, where it knows none of the jobs
PATIENCE = 60.0  # seconds for one answer
FIELDS = "%i|%T|%r"  # job or task of an array, state in full, why it waits


@dataclass(frozen=True)
class JobInfo:
    """What is known of a job.

    Attributes:
        state: SLURM's word: `PENDING`, `RUNNING`, `CANCELLED`, ...
        reason: why it waits, or ended; SLURM's word too, `None` where it has none.
    """

    state: str
    reason: str = "None"

    @property
    def ended(self) -> bool:
        """Whether nothing of it will run again, unless somebody asks for it."""
        return self.state in ENDED


class SilentControllerError(Exception):
    """The controller could not be asked; the message is SLURM's."""


def present() -> bool:
    """Whether this computer can speak with a SLURM cluster."""
    return all(map(shutil.which, ("sbatch", "squeue", "scancel", "scontrol")))


def ask(jobs: Iterable[str]) -> dict[str, JobInfo]:
    """What SLURM knows of jobs; those that it has forgotten are not in the answer.

    Args:
        jobs: ids such as `17`, or `17_3` for a task of an array.

    Raises:
        SilentControllerError: nobody answers.
    """
    wanted = sorted(set(jobs))
    if not wanted:
        return {}
    words = ["squeue", "--noheader", "--array", "--states=all", f"--format={FIELDS}"]
    done = _run([*words, f"--jobs={','.join(wanted)}"])
    if done.returncode and UNKNOWN_JOB not in done.stderr:
        raise SilentControllerError(_last_line(done.stderr))
    known = parse_squeue(done.stdout)
    if forgotten := [job for job in wanted if job not in known]:
        known = {**_accounted(forgotten), **known}
    return {job: known[job] for job in wanted if job in known}


def cancel(jobs: Iterable[str]) -> None:
    """Ends jobs, whatever they do; those that have ended stay as they are."""
    if wanted := sorted(set(jobs)):
        _run(["scancel", "--quiet", *wanted])


def requeue(job: str) -> bool:
    """Has a job that ended run again under the same id; whether SLURM agreed."""
    return _run(["scontrol", "requeue", job]).returncode == 0


def parse_squeue(text: str) -> dict[str, JobInfo]:
    """The jobs of `squeue --noheader --array --format="%i|%T|%r"`, by id."""
    rows = (line.strip().split("|", 2) for line in text.splitlines())
    return {row[0]: JobInfo(row[1], row[2].strip()) for row in rows if len(row) == 3}


def parse_sacct(text: str) -> dict[str, JobInfo]:
    """The jobs of `sacct --noheader --parsable2 --format=JobID,State`, by id.

    Its states may say more (`CANCELLED by 1000`); steps of jobs (`17.batch`) are left out, and so
    are the tasks of an array that wait in one row (`17_[2-5]`): the controller knows them.
    """
    found = {}
    for line in text.splitlines():
        job, _, state = line.strip().partition("|")
        if state and "." not in job and "[" not in job:
            found[job] = JobInfo(state.split()[0])
    return found


def _accounted(jobs: list[str]) -> dict[str, JobInfo]:
    """What the accounting says; nothing where there is none, or it does not answer."""
    if shutil.which("sacct") is None:
        return {}
    words = ["sacct", "--noheader", "--parsable2", "--allocations", "--format=JobID,State"]
    try:
        done = _run([*words, f"--jobs={','.join(jobs)}"])
    except SilentControllerError:
        return {}
    return {} if done.returncode else parse_sacct(done.stdout)


def _run(words: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(words, capture_output=True, text=True, check=False, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        raise SilentControllerError(f"{words[0]} has no answer after {PATIENCE:.0f} s") from None
    except OSError as error:
        raise SilentControllerError(f"{words[0]}: {error.strerror}") from None


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no word"])[-1]
