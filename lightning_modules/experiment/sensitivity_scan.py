"""A sensitivity scan of a finished run's network, as `scripts/sensitivity.py` makes it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from compression.context import Context
from compression.cost import count_macs, count_params
from compression.engine import with_moments
from compression.latency import RelativeLatency
from compression.sensitivity import LossPoint, Scan, scan, scan_losses
from compression.step import Step, Treatment
from datamodules.workers import report_progress
from lightning_modules.errors import ConfigError
from lightning_modules.experiment.run_context import RunContext, step_context
from lightning_modules.experiment.stages import initial_network, stages_of
from lightning_modules.networks import Network
from lightning_modules.runs import RunSplits, make_data

if TYPE_CHECKING:  # onnxruntime's quantiser, which other steps do without
    from compression.quantization.rounding_errors import RoundingError


def scan_run(
    cfg: DictConfig, folder: Path, ratios: Sequence[float] | None
) -> tuple[Scan, list[LossPoint]]:
    """The scan of the one step that `cfg.compression` describes, on the network of `cfg.from_run`.

    And what the same treatments do to the logits on training images.

    Args:
        cfg: of the run, with the step.
        folder: the run directory.
        ratios: to keep of each layer, in (0, 1); None: the step's own.

    Raises:
        ConfigError, DataError, CompressionError: the step does not treat layers one by one, the
            network is quantised, or none of its layers can be treated.
    """
    step = _step(cfg)
    require_treatments(step)
    network, context = _entered(step, cfg, folder)
    treatments = step.treatments(network, context, ratios or step.scan_ratios)
    if not treatments:
        raise ConfigError(
            f"{step.name} finds no layer in {folder} that it could make cheaper at these ratios; "
            "give smaller ones, as ratios=0.1,0.2."
        )
    found = scan(step, _shown(treatments, step), network, context)
    if not found.points:
        raise ConfigError(f"{folder}: the network works with none of its layers treated alone.")
    return found, scan_losses(step, treatments, network, context)


def rounding_run(cfg: DictConfig, folder: Path) -> "Iterator[RoundingError]":
    """What rounding costs the network of `cfg.from_run`, as `rounding_errors` tells it.

    Args:
        cfg: of the run, with the step `quantize`.
        folder: the run directory.

    Raises:
        ConfigError, DataError, CompressionError: the network is quantised already, or has too few
            images.
    """
    from compression.quantization.quantize import Quantize
    from compression.quantization.rounding_errors import rounding_errors

    step = _step(cfg)
    assert isinstance(step, Quantize)
    network, context = _entered(step, cfg, folder)
    return rounding_errors(step, network, context)


def _step(cfg: DictConfig) -> Step:
    (stage,) = stages_of(cfg)
    assert stage.step is not None  # with from_run there is no plain training
    return stage.step


def _entered(step: Step, cfg: DictConfig, folder: Path) -> tuple[Network, Context]:
    """The network that the step enters, and what it may look at."""
    data = make_data(cfg, RunSplits(cfg, None))
    network = initial_network(cfg, data).eval()
    data.prepare_data()
    data.setup()
    size = data.image_size
    costs = {"cost/macs": count_macs(network, size), "cost/params": count_params(network)}
    run = RunContext(cfg, data, folder)
    context = step_context(step, run, costs, RelativeLatency(network, size))
    return network, with_moments(context, network)


def require_treatments(step: Step) -> None:
    """Refuses a step that has no treatments, before any data is read."""
    if type(step).treatments is Step.treatments:
        raise ConfigError(
            f"step={step.name} does not treat layers one by one, so there is nothing to scan; take "
            "prune, tucker, svd, spatial_svd or cp."
        )


def _shown(treatments: list[Treatment], step: Step) -> Iterable[Treatment]:
    layers = len({treatment.layer for treatment in treatments})
    job = f"{step.name}: {len(treatments)} points of {layers} layers"
    return report_progress(treatments, total=len(treatments), job=job)


def as_plain(found: Scan, losses: Sequence[LossPoint], step: str) -> dict[str, Any]:
    """The scan for a JSON file, with what each point loses and saves; `kl` in nats, or null."""
    nats = divergences(losses)
    points = [
        {
            **asdict(point),
            "f1_lost": found.lost(point),
            "macs_saved": found.saved(point),
            "kl": nats.get((point.layer, point.what)),
        }
        for point in found.points
    ]
    return {"step": step, **asdict(found), "points": points}


def divergences(losses: Sequence[LossPoint]) -> dict[tuple[str, str], float]:
    """Nats by the layer and what was done to it."""
    return {(point.layer, point.what): point.loss for point in losses}
