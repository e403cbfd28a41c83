"""What the measurements share: where the project lies, programs and jobs that are timed."""

import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parents[2]


def seconds(job: Callable[[], Any]) -> float:
    """How long a job takes by the clock."""
    start = time.perf_counter()
    job()
    return time.perf_counter() - start


def start_run(
    words: Sequence[str],
    *,
    output: IO[str] | int,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Starts `python run.py WORDS...` in the project.

    Args:
        words: of the command line.
        output: where stdout goes, such as an open file or `subprocess.DEVNULL`; stderr too where
            it is a file.
        environment: of the program; None: this process's.
    """
    errors = None if output == subprocess.DEVNULL else output
    command = [sys.executable, "run.py", *words]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=errors)
