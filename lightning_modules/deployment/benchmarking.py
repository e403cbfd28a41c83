"""The rows of a benchmark: each network in each backend, with all that is measured of it."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from datamodules.errors import DataError
from lightning_modules.config import config_over
from lightning_modules.deployment.backends import BACKENDS, Call, Runner, run_file
from lightning_modules.deployment.formats import RUNTIMES, format_of
from lightning_modules.deployment.load_model import load_run_network
from lightning_modules.deployment.peak_memory import peak_memory
from lightning_modules.deployment.run_images import labeled_split
from lightning_modules.deployment.timing import Timing, time_alternately


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
    source: Path
    backend: str
    size: tuple[int, int]
    runner: Runner
    f1: float | None
    split: str


def benchmark(
    sources: Mapping[str, Path],
    overrides: list[str],
    *,
    backends: Sequence[str],
    threads: int,
    repeats: int,
    batches: Sequence[int],
) -> list[Row]:
    """A row for each run and backend, and for each file; all are timed alternately.

    Args:
        sources: run directories and exported files by the name that rows give them.
        overrides: Hydra overrides over each run's saved configuration.
        backends: of `BACKENDS`, for runs; a file has its own.
        threads: of each backend.
        repeats: timed calls of each.
        batches: numbers of images a call to choose the best from.
    """
    with tempfile.TemporaryDirectory() as folder:
        pairs = []
        for number, (name, source) in enumerate(sources.items()):
            if source.is_dir():
                file = Path(folder) / str(number)
                pairs += _run_pairs(name, source, overrides, backends, threads, file)
            else:
                pairs.append(_file_pair(name, source, overrides, threads))
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


def _run_pairs(
    name: str, run: Path, overrides: list[str], backends: Sequence[str], threads: int, file: Path
) -> list[_Pair]:
    network, resize_mode = load_run_network(run, overrides)
    split, f1 = _quality(name, config_over(run, overrides), network.image_size)
    pairs = []
    for backend in backends:
        print(f"Preparing {name} in {backend} ...", flush=True)
        runner = BACKENDS[backend](network, resize_mode=resize_mode, threads=threads, file=file)
        quality = None if f1 is None else f1(runner.call)
        pairs.append(_Pair(name, run, backend, network.image_size, runner, quality, split))
    return pairs


def _file_pair(name: str, file: Path, overrides: list[str], threads: int) -> _Pair:
    """An exported file in what runs it; its F1 is of the data of the run that it lies in."""
    print(f"Preparing {name} ...", flush=True)
    form = format_of(file)
    runner = run_file(file, threads=threads)
    size, run = runner.image_size, file.absolute().parent.parent
    split, f1 = "", None
    if (run / ".hydra").is_dir():
        split, f1 = _quality(name, config_over(run, overrides), size)
    quality = None if f1 is None else f1(runner.call)
    backend = next((runtime for runtime, of in RUNTIMES.items() if of == form.name), form.name)
    return _Pair(name, file, backend, size, runner, quality, split)


def _quality(
    name: str, cfg: DictConfig, image_size: tuple[int, int]
) -> tuple[str, Callable[[Call], float] | None]:
    """See `labeled_split`; says why where the data is not there."""
    cfg.data.image_size = list(image_size)
    try:
        return labeled_split(cfg)
    except DataError as error:
        print(f"{name}: no F1, for {error}")
        return "", None


def _row(pair: _Pair, timing: Timing, overrides: list[str], threads: int) -> Row:
    file = pair.runner.file
    memory = peak_memory(
        file or pair.source,
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
