"""The rows of a benchmark: each network in each backend, with all that is measured of it."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from compression.cost import file_bytes
from datamodules.errors import DataError
from lightning_modules.config import config_over
from lightning_modules.deployment.backends import (
    Call,
    ExportedBackend,
    Runner,
    backend_named,
    name_of,
)
from lightning_modules.deployment.foreign_file import open_foreign
from lightning_modules.deployment.formats import Format, format_of
from lightning_modules.deployment.load_model import load_run_network
from lightning_modules.deployment.model_metadata import ModelMetadata
from lightning_modules.deployment.peak_memory import peak_memory
from lightning_modules.deployment.run_images import labeled_split
from lightning_modules.deployment.timing import Timing, time_alternately
from lightning_modules.errors import ConfigError
from lightning_modules.networks import Network


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


@dataclass(frozen=True, kw_only=True)
class _Pair:
    network: str
    source: Path  # what its memory is measured of: the run, or the file that the backend is given
    backend: str | Mapping[str, Any]
    label: str
    size: tuple[int, int]
    call: Call
    file_bytes: int
    f1: float | None
    split: str


def benchmark(
    sources: Mapping[str, Path],
    overrides: list[str],
    *,
    backends: Sequence[str | Mapping[str, Any]],
    threads: int,
    repeats: int,
    batches: Sequence[int],
    named: Format | None = None,
) -> list[Row]:
    """A row for each run and backend, and for each file; all are timed alternately.

    Args:
        sources: run directories and exported files by the name that rows give them.
        overrides: Hydra overrides over each run's saved configuration.
        backends: for runs, of `BACKENDS` or nodes with a `_target_`; a file has its own.
        threads: of each backend.
        repeats: timed calls of each.
        batches: numbers of images a call to choose the best from.
        named: the format of files of its suffix.
    """
    with tempfile.TemporaryDirectory() as folder:
        pairs = []
        for number, (name, source) in enumerate(sources.items()):
            if source.is_dir():
                file = Path(folder) / str(number)
                pairs += _run_pairs(name, source, overrides, backends, threads, file)
            else:
                pairs.append(_file_pair(name, source, overrides, threads, named))
        print(f"Timing {len(pairs)} pairs of network and backend alternately ...", flush=True)
        timings = time_alternately(
            [pair.call for pair in pairs],
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
    name: str,
    run: Path,
    overrides: list[str],
    backends: Sequence[str | Mapping[str, Any]],
    threads: int,
    file: Path,
) -> list[_Pair]:
    network, resize_mode = load_run_network(run, overrides)
    split, f1 = _quality(name, run, config_over(run, overrides), network)
    pairs = []
    for backend in backends:
        label = name_of(backend)
        print(f"Preparing {name} in {label} ...", flush=True)
        make = backend_named(backend)
        runner = make(network, resize_mode=resize_mode, threads=threads, file=file)
        if not isinstance(runner, Runner):
            raise ConfigError(
                f"backends={label} gave {type(runner).__name__}; it must give a "
                "lightning_modules.deployment.Runner."
            )
        size = file_bytes(network) if runner.file_bytes is None else runner.file_bytes
        pairs.append(
            _Pair(
                network=name,
                source=runner.file or run,
                backend=backend,
                label=label,
                size=network.image_size,
                call=runner.call,
                file_bytes=size,
                f1=None if f1 is None else f1(runner.call),
                split=split,
            )
        )
    return pairs


def _file_pair(
    name: str, file: Path, overrides: list[str], threads: int, named: Format | None
) -> _Pair:
    """An exported file in what runs it; its F1 is of the data of the run that it lies in."""
    print(f"Preparing {name} ...", flush=True)
    form = format_of(file, named)
    opened = open_foreign(form, file, threads=threads)
    size, run = opened.metadata.image_size, file.absolute().parent.parent
    split, f1 = "", None
    if (run / ".hydra").is_dir():
        split, f1 = _quality(name, run, config_over(run, overrides), opened.metadata)
    return _Pair(
        network=name,
        source=file,
        backend={"_target_": f"{ExportedBackend.__module__}.ExportedBackend", "format": form.value},
        label=form.runtime,
        size=size,
        call=opened.call,
        file_bytes=sum(part.stat().st_size for part in form.files(file)),
        f1=None if f1 is None else f1(opened.call),
        split=split,
    )


def _quality(
    name: str, run: Path, cfg: DictConfig, network: Network | ModelMetadata
) -> tuple[str, Callable[[Call], float] | None]:
    """See `labeled_split`; says why where the data is not there."""
    cfg.data.image_size = list(network.image_size)
    try:
        return labeled_split(run, cfg, network)
    except DataError as error:
        print(f"{name}: no F1, for {error}")
        return "", None


def _row(pair: _Pair, timing: Timing, overrides: list[str], threads: int) -> Row:
    memory = peak_memory(
        pair.source,
        pair.backend,
        image_size=pair.size,
        batch=timing.batch,
        threads=threads,
        overrides=overrides,
    )
    return Row(
        network=pair.network,
        backend=pair.label,
        timing=timing,
        memory=memory,
        file_bytes=pair.file_bytes,
        f1=pair.f1,
        split=pair.split,
    )
