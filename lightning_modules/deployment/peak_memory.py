"""The memory that a network takes in a backend: measured in a process of its own.

In the process that compares several networks, what one has freed another takes over.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning_modules.deployment.backends import backend_named, name_of
from lightning_modules.errors import ConfigError


def peak_memory(
    source: Path,
    backend: str | Mapping[str, Any],
    *,
    image_size: tuple[int, int],
    batch: int,
    threads: int,
    overrides: list[str],
) -> int:
    """Bytes above those of the idle process with its libraries, at most, for one batch size.

    Loading counts, and so does compiling where the backend compiles.

    Args:
        source: the run, or the file that the backend is given.
        backend: of `backends.BACKENDS`, or a node with a `_target_`.
        image_size: (height, width) in pixels.
        batch: images a call.
        threads: of the backend.
        overrides: Hydra overrides over the run's configuration.

    Raises:
        ConfigError: the process failed.
    """
    settings = json.dumps([backend, image_size, batch, threads])
    done = subprocess.run(
        [sys.executable, "-P", "-m", __name__, str(source), settings, *overrides],
        capture_output=True,
        text=True,
        check=False,
        # What could be imported here can be there, such as a backend of one's own.
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path or "." for path in sys.path)},
    )
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise ConfigError(
            f"The memory of {source} in {name_of(backend)} cannot be measured: {reason}"
        )
    return int(done.stdout.split()[-1])


def process_peak() -> int:
    """Bytes of this process at most so far."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux's ru_maxrss begins with what the process's parent held
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return 1024 * int(lines["VmHWM"].split()[0])
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _measure(
    source: Path,
    backend: str | Mapping[str, Any],
    image_size: tuple[int, int],
    batch: int,
    threads: int,
    overrides: list[str],
) -> int:
    import numpy as np

    from compression.latency import torch_threads
    from lightning_modules.deployment.load_model import load_run_network

    make: Any = backend_named(backend)
    before = process_peak()
    with torch_threads(threads), tempfile.TemporaryDirectory() as folder:
        if source.is_file():
            call = make.open_file(source, threads=threads)
        else:
            network, mode = load_run_network(source, overrides)
            file = Path(folder) / "network"
            call = make(network, resize_mode=mode, threads=threads, file=file).call
        images = np.zeros((batch, 3, *image_size), np.uint8)
        for _ in range(3):
            call(images)
    return process_peak() - before


if __name__ == "__main__":
    name, settings, *overrides = sys.argv[1:]
    backend, image_size, batch, threads = json.loads(settings)
    print(_measure(Path(name), backend, image_size, batch, threads, overrides))
