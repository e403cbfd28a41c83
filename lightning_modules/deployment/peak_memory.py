"""The memory that a network takes in a backend: measured in a process of its own.

In the process that compares several networks, what one has freed another takes over.
"""

import resource
import subprocess
import sys
from pathlib import Path

from lightning_modules.errors import ConfigError


def peak_memory(
    source: Path, backend: str, *, batch: int, threads: int, overrides: list[str]
) -> int:
    """Bytes above those of the idle process with its libraries, at most, for one batch size.

    Loading counts, and so does compiling where the backend compiles.

    Args:
        source: the run, or the file that the backend is given.
        backend: of `backends.BACKENDS`.
        batch: images a call.
        threads: of the backend.
        overrides: Hydra overrides over the run's configuration.

    Raises:
        ConfigError: the process failed.
    """
    words = [str(source.absolute()), backend, str(batch), str(threads), *overrides]
    done = subprocess.run(
        [sys.executable, "-m", "lightning_modules.deployment.peak_memory", *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).resolve().parents[2],
    )
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise ConfigError(f"The memory of {source} in {backend} cannot be measured: {reason}")
    return int(done.stdout.split()[-1])


def process_peak() -> int:
    """Bytes of this process at most so far."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux's ru_maxrss begins with what the process's parent held
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return 1024 * int(lines["VmHWM"].split()[0])
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _measure(source: Path, backend: str, batch: int, threads: int, overrides: list[str]) -> int:
    import numpy as np

    from compression.latency import torch_threads
    from lightning_modules.deployment import backends
    from lightning_modules.deployment.load_model import load_run_network, open_model

    before = process_peak()
    with torch_threads(threads):
        if backend == "compile":
            network, _ = load_run_network(source, overrides)
            call, size = backends.compiled_call(network), network.image_size
        else:
            call = open_model(source, overrides, threads=threads)
            size = call.metadata.image_size
        images = np.zeros((batch, 3, *size), np.uint8)
        for _ in range(3):
            call(images)
    return process_peak() - before


if __name__ == "__main__":
    name, backend, batch, threads, *overrides = sys.argv[1:]
    print(_measure(Path(name), backend, int(batch), int(threads), overrides))
