"""A sensitivity scan: each layer is treated alone, and the network evaluated without fine-tuning.

Li et al. 2017, "Pruning Filters for Efficient ConvNets", section 3.2, do so for pruning. Here
BatchNorm statistics are estimated anew before each evaluation, also that of the whole network: what
is compared then differs in nothing but the treatment.
"""

import copy
import hashlib
import json
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any

import torch
from torch import nn

from compression.cost.macs import count_macs, count_params
from compression.engine import recalibrate
from compression.errors import CompressionError
from compression.sensitivity.fingerprint import digest_weights
from compression.sensitivity.macro_f1 import macro_f1
from compression.sensitivity.stored_figures import stored_figures
from compression.step import CompressionStep, Context, Trial

log = logging.getLogger(__name__)

FORMAT_VERSION = 1
METRIC = "val/f1"
WHOLE = "the whole network"  # the key of its figures
SECONDS = 30.0  # between two words on how far it is

Evaluate = Callable[[nn.Module], float]


@dataclass(frozen=True, kw_only=True)
class Point:
    """The network with one layer treated; see `Trial` for the first four."""

    layer: str
    share: float
    kept: float
    what: str
    f1: float  # macro-F1
    macs: int  # of one image
    params: int


@dataclass(frozen=True, kw_only=True)
class Scan:
    """Macro-F1, MACs (of one image) and parameters of a network, and its points."""

    f1: float
    macs: int
    params: int
    points: list[Point]

    def lost(self, point: Point) -> float:
        """Macro-F1 that the treatment costs; negative where it helps."""
        return self.f1 - point.f1

    def saved(self, point: Point) -> float:
        """The share of the network's MACs that the treatment saves."""
        return 1 - point.macs / self.macs


def scan(
    step: CompressionStep, trials: Iterable[Trial], network: nn.Module, context: Context
) -> Scan:
    """What each trial makes of the network; those that do not work are left out.

    Args:
        step: whose trials they are.
        trials: in the order of the points.
        network: stays as it is.
        context: says what macro-F1 is by `evaluate`, else it is that on the validation batches, or
            where there are none the training batches. Keeps the points in `scans`.

    Raises:
        CompressionError: there are no labelled images, or the folder cannot be used.
    """
    evaluate = evaluation(context)
    folder = None if context.scans is None else context.scans / scan_key(step, network, context)
    with stored_figures(folder) as stored:
        whole = stored.get(WHOLE, lambda: _figures(copy.deepcopy(network), evaluate, context))
        points, told = [], perf_counter()
        for trial in trials:
            measure = partial(_try, trial, step, network, evaluate, context)
            found = stored.get(f"{trial.layer}: {trial.what}", measure)
            if found is not None:
                own = {name: getattr(trial, name) for name in ("layer", "share", "kept", "what")}
                points.append(Point(**own, **found))
            if perf_counter() - told > SECONDS:
                log.info(f"sensitivity of {step.name}: {len(points)} points, now {trial.layer}")
                told = perf_counter()
    return Scan(**whole, points=points)


def _try(
    trial: Trial, step: CompressionStep, network: nn.Module, evaluate: Evaluate, context: Context
) -> dict[str, Any] | None:
    plan = trial.plan()
    return None if plan is None else _figures(step.apply(network, plan), evaluate, context)


def _figures(network: nn.Module, evaluate: Evaluate, context: Context) -> dict[str, Any]:
    """Of a network of our own: its statistics change."""
    if context.train_batches is not None:
        recalibrate(network, context.train_batches())
    return {
        "f1": evaluate(network),
        "macs": count_macs(network, context.image_size),
        "params": count_params(network),
    }


def evaluation(context: Context) -> Evaluate:
    """What macro-F1 is here.

    Raises:
        CompressionError: there are no labelled images.
    """
    if context.evaluate is not None:
        return lambda network: context.evaluate(network)[METRIC]
    source = context.val_batches or context.train_batches
    if source is None:
        raise CompressionError(
            "A sensitivity scan evaluates the network on labelled images, and there are none here; "
            "give batches=, or choose another way, such as a target without it."
        )
    return lambda network: macro_f1(network, source())


def scan_key(step: CompressionStep, network: nn.Module, context: Context) -> str:
    """A digest of all that the figures follow from, but for the data and what a trial says."""
    facts = {
        "format": FORMAT_VERSION,
        "torch": torch.__version__,
        "step": f"{type(step).__module__}.{type(step).__qualname__}",
        "version": step.version,
        "modules": str(network),
        "image_size": list(context.image_size),
        "seed": context.seed,
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    digest_weights(digest, network)
    return digest.hexdigest()[:24]
