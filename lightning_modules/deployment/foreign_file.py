"""Files from elsewhere are opened first in a process of its own, which may die of them.

The libraries that run exported files are made for files that somebody trusts: a damaged or hostile
one ends the process that opens it, takes all memory, or never comes to an end. What it does here it
does to a process with limits; the sentence says what became of it. That is done each time: whatever
lies beside a file, and says that it is sound, came with it.
"""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lightning_modules.deployment import trial_opening
from lightning_modules.deployment.exports import ModuleExport
from lightning_modules.deployment.formats import Format
from lightning_modules.deployment.inference_model import InferenceModel
from lightning_modules.errors import USER_ERRORS, ConfigError

if TYPE_CHECKING:
    import numpy as np

SECONDS = 120  # until a file is opened and has run once; a large network takes some
MEMORY = 8 * 2**30  # bytes, if the machine has so many: of one image in a large network
WEIGHTS = 8  # times the bytes of its files: what a library makes of them besides
AVAILABLE = 0.75  # of the free memory, at most


def open_foreign(form: Format, path: Path, *, threads: int) -> InferenceModel:
    """The classifier in a file from elsewhere.

    A format of the user's own is opened as it is: it runs the user's code.

    Raises:
        ConfigError: it is no such file, or nothing that could be opened without harm.
    """
    if isinstance(form.part, ModuleExport):
        form.part.vet(path)
        require_sound(path, form.name, form.runtime, files=form.files(path))
    model = form.open_file(path, threads=threads)
    call = model.call

    def guarded(images: "np.ndarray") -> "np.ndarray":
        try:
            return call(images)
        except USER_ERRORS:
            raise
        except Exception as error:  # the libraries' own have no common base
            raise _refused(path, form.runtime, str(error)) from error

    return replace(model, call=guarded)


def require_sound(path: Path, form: str, runtime: str, *, files: list[Path]) -> None:
    """Opens a file in a process of its own, and runs it for one image.

    Args:
        path: of the file.
        form: the name of its format.
        runtime: what runs it, for the sentence.
        files: all that belongs to it.

    Raises:
        ConfigError: the process was refused the file, died of it, or came to no end.
    """
    if not path.is_file():
        raise ConfigError(f"{path} is no file that could be read.")
    size = sum(file.stat().st_size for file in files if file.is_file())
    memory = allowed_memory(size)
    words = [form, str(path.absolute()), str(memory), str(SECONDS)]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(part or "." for part in sys.path),
    }
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", trial_opening.__name__, *words],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=SECONDS,
            env=environment,
        )
    except subprocess.TimeoutExpired:
        raise _harmful(path, f"{runtime} did not come to an end with it in {SECONDS} s") from None
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        raise _harmful(path, f"{runtime} died of it ({name})")
    try:
        kind, text = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        last = (done.stderr.strip().splitlines() or ["without a word"])[-1]
        raise _harmful(path, f"{runtime} ended with it ({last[:200]})") from None
    if kind == "memory":
        raise _harmful(path, f"{runtime} wanted more than {memory / 2**30:.1f} GB of memory for it")
    if kind == "sentence":
        raise ConfigError(text)
    if kind == "reason":
        raise _refused(path, runtime, text)


def allowed_memory(size: int) -> int:
    """Bytes that opening files of so many bytes may take on this machine."""
    wanted = MEMORY + WEIGHTS * size
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:  # not Linux
        return wanted
    kilobytes = {key: text.split()[0] for key, text in (line.split(":", 1) for line in lines)}
    return min(wanted, int(AVAILABLE * 1024 * int(kilobytes["MemAvailable"])))


def _refused(path: Path, runtime: str, reason: str) -> ConfigError:
    return ConfigError(f"{path} cannot be run by {runtime}: {' '.join(reason.split())[:200]}.")


def _harmful(path: Path, what: str) -> ConfigError:
    return ConfigError(
        f"{path} is not opened: when a process of its own tried, {what}; the file is damaged, or "
        "made to do harm: export the run again with scripts/export.py."
    )
