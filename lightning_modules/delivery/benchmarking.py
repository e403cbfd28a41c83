"""The rows of a benchmark: each network in each backend, with all that is measured of it."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from datamodules.errors import DataError
from lightning_modules.delivery.backends import BACKENDS, Runner
from lightning_modules.delivery.labelled import labelled_split
from lightning_modules.delivery.opening import load_for_use
from lightning_modules.delivery.peak_memory import peak_memory
from lightning_modules.delivery.timing import Timing, time_alternately
from lightning_modules.run_config import config_over


@dataclass(frozen=True, kw_only=True)
class Row:
    """One network in one backend.

    Attributes:
        network, backend: their names.
        timing: see `Timing`.
        memory: bytes above those of the idle process, at most, at the best batch.
        file_bytes: of the file that the backend is given.
        f1: macro-F1 as the backend computes it, or None where the data is not there.
        split: what the F1 is of: test, or val where no test split is labelled.
    """

    network: str
    backend: str
    timing: Timing
    memory: int
    file_bytes: int
    f1: float | None
    split: str


@dataclass(frozen=True)
class _Pair:
    network: str
    run: Path
    backend: str
    size: tuple[int, int]
    runner: Runner
    f1: float | None
    split: str


def benchmark(
    runs: Mapping[str, Path],
    overrides: list[str],
    *,
    backends: Sequence[str],
    threads: int,
    repeats: int,
    batches: Sequence[int],
) -> list[Row]:
    """A row for each run and backend; all are timed alternately.

    Args:
        runs: run directories by the name that rows give them.
        overrides: Hydra overrides over each run's saved configuration.
        backends: of `BACKENDS`.
        threads: of each backend.
        repeats: timed calls of each.
        batches: numbers of images a call to choose the best from.
    """
    with tempfile.TemporaryDirectory() as folder:
        pairs = [
            pair
            for number, (name, run) in enumerate(runs.items())
            for pair in _pairs(name, run, overrides, backends, threads, Path(folder) / str(number))
        ]
        print(f"Timing {len(pairs)} pairs of network and backend alternately ...", flush=True)
        timings = time_alternately(
            [pair.runner.call for pair in pairs],
            [pair.size for pair in pairs],
            batches=batches,
            repeats=repeats,
            threads=threads,
        )
        print("Measuring the memory of each in a process of its own ...", flush=True)
        return [
            _row(pair, timing, overrides, threads)
            for pair, timing in zip(pairs, timings, strict=True)
        ]


def _pairs(
    name: str, run: Path, overrides: list[str], backends: Sequence[str], threads: int, file: Path
) -> list[_Pair]:
    network, fit = load_for_use(run, overrides)
    cfg = config_over(run, overrides)
    cfg.data.image_size = list(network.image_size)
    try:
        split, f1 = labelled_split(cfg)
    except DataError as error:
        print(f"{name}: no F1, for {error}")
        split, f1 = "", None
    pairs = []
    for backend in backends:
        print(f"Preparing {name} in {backend} ...", flush=True)
        runner = BACKENDS[backend](network, fit=fit, threads=threads, file=file)
        quality = None if f1 is None else f1(runner.call)
        pairs.append(_Pair(name, run, backend, network.image_size, runner, quality, split))
    return pairs


def _row(pair: _Pair, timing: Timing, overrides: list[str], threads: int) -> Row:
    file = pair.runner.file
    memory = peak_memory(
        file or pair.run,
        pair.backend,
        batch=timing.batch,
        threads=threads,
        overrides=[] if file else overrides,
    )
    return Row(
        network=pair.network,
        backend=pair.backend,
        timing=timing,
        memory=memory,
        file_bytes=pair.runner.file_bytes,
        f1=pair.f1,
        split=pair.split,
    )
