"""How a row of `data_aware` is measured: the base is opened once, then treated in many ways."""

import tempfile
import time
from collections.abc import Callable
from functools import cached_property, lru_cache
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import nn

from compression import compress, count_macs
from compression.errors import CompressionError
from compression.latency import interleaved_times, onnx_call, random_images
from compression.step import Step
from compression.steps import STEPS
from lightning_modules.config.script_arguments import named_run
from lightning_modules.deployment import format_named, metadata_of
from lightning_modules.evaluation import Predictions, predict, split_metrics
from lightning_modules.networks import Network, load_network, save_network
from lightning_modules.runs import make_data, trained_on
from scripts.bench.data_aware_bases import RunFailedError, finish
from scripts.bench.data_aware_rows import TREATMENTS, Row
from scripts.bench.data_aware_table import Measured

BATCHES = 10  # of training images, for BatchNorm and for the step
COMPARISONS, PASSES = 3, 50  # of two networks that take turns; of each network in each comparison
THREADS, BATCH = 1, 1  # of a pass that is timed
LONGEST = 300  # letters of a remark


class Case:
    """A finished run and its images, opened.

    Args:
        run: of the base.
    """

    def __init__(self, run: Path) -> None:
        self.cfg = named_run(str(run), []).cfg
        self.run, self.network = run, load_network(run)
        self.data = make_data(self.cfg, trained_on(run).splits(self.cfg))
        self.data.prepare_data()
        self.data.setup()
        self.size = self.data.image_size
        self.val = list(self.data.val_dataloader())

    @cached_property
    def batches(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Training images as they are and their labels."""
        return list(islice(self.data.train_eval_batches(), BATCHES))

    @cached_property
    def pixels(self) -> np.ndarray:
        """An image to time networks with."""
        return random_images(self.size, BATCH)

    @cached_property
    def pass_before(self) -> Callable[[], object]:
        """One forward pass of the base."""
        return onnx_call(self.network, self.pixels, THREADS, compare=False)

    @cached_property
    def before(self) -> Predictions:
        """What the base says of the validation images."""
        return self.predictions(self.network)

    def predictions(self, network: nn.Module) -> Predictions:
        """What a network says of the validation images."""
        return predict(network, self.val)

    def latency(self, network: nn.Module) -> float:
        """Time of a network over the base's: the median of comparisons in which they alternate."""
        after = onnx_call(network, self.pixels, THREADS, compare=False)
        calls = [self.pass_before, after]
        medians = [np.median(interleaved_times(calls, PASSES), axis=1) for _ in range(COMPARISONS)]
        return float(np.median([after / before for before, after in medians]))


@lru_cache(maxsize=1)
def case_of(run: Path) -> Case:
    """The base of a process, opened once."""
    return Case(run)


def measure(row: Row, folder: Path, shared: Path) -> Measured:
    """What is in the columns of a row; a refusal is a result, too.

    Raises:
        Exception: anything else that went wrong; the row is to stay open.
    """
    start = time.perf_counter()
    step = step_of(row)  # before anything is refused: settings that do not exist are no result
    case = case_of(row.of.run(folder))
    found = {"f1_before": f"{_f1(case.before):.4f}"}
    try:
        network = _tuned(row, folder, shared) if row.epochs else _compressed(row, step, case)
        found |= figures(network, case, exported=row.block == "merge", timed=row.timed)
    except (CompressionError, RunFailedError) as error:
        if isinstance(error, RunFailedError) and not error.refused:
            raise
        found["note"] = _sentence("refused", error)
    return found | {"seconds": f"{time.perf_counter() - start:.0f}"}


def step_of(row: Row) -> Step | None:
    """The step of a row; None for the control.

    Raises:
        Exception: it has no such settings.
    """
    name = TREATMENTS[row.treatment].step
    return None if name is None else STEPS.load(name, "step")(**row.settings)


def figures(
    network: Network, case: Case, *, exported: bool = False, timed: bool = True
) -> dict[str, str]:
    """A network's costs over the base's, its macro-F1, and how often it says the same class.

    Args:
        network: that came of the base.
        case: the base.
        exported: save, load and export it first, and judge the file.
        timed: whether latency is among the costs.
    """
    after = exported_predictions(network, case) if exported else case.predictions(network)
    macs = count_macs(network, case.size) / count_macs(case.network, case.size)
    same = (after.classes == case.before.classes).double().mean()
    found = {"macs": f"{macs:.4f}", "f1_after": f"{_f1(after):.4f}", "agreement": f"{same:.4f}"}
    if not timed:
        return found
    try:
        latency = case.latency(network)
    except CompressionError as error:
        return {**found, "note": _sentence("not timed", error)}
    times = {"latency": f"{latency:.3f}", "threads": str(THREADS), "batch": str(BATCH)}
    return {**found, **times}


def exported_predictions(network: Network, case: Case) -> Predictions:
    """What the ONNX file of a network that was saved and loaded says of the validation images."""
    images, labels = (torch.cat(parts) for parts in zip(*case.val, strict=True))
    form, mode = format_named("onnx"), case.cfg.data.resize_mode
    with tempfile.TemporaryDirectory() as folder:
        loaded = load_network(save_network(network, folder))
        path = Path(folder) / f"network{form.suffix}"
        form.write(loaded, path, metadata_of(loaded, resize_mode=mode))
        probabilities = form.open_file(path, threads=THREADS)(images.numpy())
    return Predictions(torch.from_numpy(probabilities).log(), labels)


def _compressed(row: Row, step: Step | None, case: Case) -> Network:
    """Treated by `compress()`, in this process, and not trained."""
    assert step is not None  # the control is trained
    seen = {"batches": case.batches} if TREATMENTS[row.treatment].images else {}
    sample = case.batches[0][0][:8]
    scans = case.run.with_name(f"{case.run.name}_scans")
    return compress(case.network, [step], sample=sample, seed=row.seed, scans=scans, **seen)[0]


def _tuned(row: Row, folder: Path, shared: Path) -> Network:
    """Treated and tuned by run.py."""
    run = row.run(folder)
    finish(run, row.words(folder, shared))
    return load_network(run)


def _f1(predictions: Predictions) -> float:
    return split_metrics(predictions, split="val")["val/f1"]


def _sentence(start: str, error: Exception) -> str:
    return f"{start}: {' '.join(str(error).split())}"[:LONGEST]
