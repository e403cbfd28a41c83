"""A sensitivity scan: each layer is treated alone, and the network evaluated without fine-tuning.

Li et al. 2017, "Pruning Filters for Efficient ConvNets", section 3.2, do so for pruning. Here
BatchNorm statistics are estimated anew before each evaluation, also that of the whole network: what
is compared then differs in nothing but the treatment.
"""

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from compression.context import Context
from compression.cost import count_macs, count_params
from compression.errors import CompressionError
from compression.evaluation_mode import evaluation_mode
from compression.network_copy import copy_network
from compression.outputs import main_output
from compression.recalibration import recalibrate
from compression.sensitivity.progress import Progress
from compression.sensitivity.stored_metrics import digest_weights, stored_metrics
from compression.step import Step, Treatment

FORMAT_VERSION = 2
METRIC = "val/f1"
WHOLE = "the whole network"  # the key of its metrics

Evaluate = Callable[[nn.Module], float]


@dataclass(frozen=True, kw_only=True)
class Point:
    """The network with one layer treated; see `Treatment` for the first four."""

    layer: str
    ratio: float
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
        """The ratio of the network's MACs that the treatment saves."""
        return 1 - point.macs / self.macs


def scan(step: Step, treatments: Iterable[Treatment], network: nn.Module, context: Context) -> Scan:
    """What each treatment makes of the network; those that do not work are left out.

    Args:
        step: whose treatments they are.
        treatments: in the order of the points.
        network: stays as it is.
        context: says what macro-F1 is by `evaluate`, else it is that on the validation batches, or
            where there are none the training batches. Keeps the points in `scans`.

    Raises:
        CompressionError: there are no labelled images, or the folder cannot be used.
    """
    evaluate = evaluation(context)
    folder = None if context.scans is None else context.scans / scan_key(step, network, context)
    with stored_metrics(folder) as stored:
        whole = stored.get(WHOLE, lambda: _metrics(copy_network(network), evaluate, context))
        points, progress = [], Progress(f"sensitivity of {step.name}")
        for treatment in treatments:
            measure = partial(_try, treatment, step, network, evaluate, context)
            found = stored.get(f"{treatment.layer}: {treatment.what}", measure)
            if found is not None:
                own = {
                    name: getattr(treatment, name) for name in ("layer", "ratio", "kept", "what")
                }
                points.append(Point(**own, **found))
            progress.tell(len(points), treatment.layer)
    return Scan(**whole, points=points)


def _try(
    treatment: Treatment,
    step: Step,
    network: nn.Module,
    evaluate: Evaluate,
    context: Context,
) -> dict[str, Any] | None:
    plan = treatment.plan()
    return None if plan is None else _metrics(step.apply(network, plan, context), evaluate, context)


def _metrics(network: nn.Module, evaluate: Evaluate, context: Context) -> dict[str, Any]:
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
        evaluate = context.evaluate
        return lambda network: evaluate(network)[METRIC]
    source = context.val_batches or context.train_batches
    if source is None:
        raise CompressionError(
            "A sensitivity scan evaluates the network on labelled images, and there are none here; "
            "give batches=, or choose another way, such as a target without it."
        )
    return lambda network: macro_f1(network, source())


@torch.no_grad()
def macro_f1(network: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> float:
    """The mean of the classes' F1, in 0..1; classes that occur nowhere do not count.

    Args:
        network: images N x 3 x H x W -> logits N x classes; its mode is restored.
        batches: (images, labels int64 N) pairs.

    Raises:
        CompressionError: there is no batch.
    """
    # Loads much that steps, which import this file, do not need.
    from torchmetrics.functional.classification import multiclass_f1_score

    device = next(network.parameters()).device
    device = torch.device("cpu") if device.type == "meta" else device  # int8: only an outline
    logits, labels = [], []
    with evaluation_mode(network):
        for images, true in batches:
            logits.append(main_output(network(images.to(device))).float().cpu())
            labels.append(true.cpu())
    if not logits:
        raise CompressionError("There is no batch of images to evaluate a network on.")
    said = torch.cat(logits)
    return float(multiclass_f1_score(said, torch.cat(labels), said.shape[1], average="macro"))


def scan_key(step: Step, network: nn.Module, context: Context) -> str:
    """A digest of all that the metrics follow from, but for the data and what a treatment says."""
    facts = {
        "format": FORMAT_VERSION,
        "torch": torch.__version__,
        "step": f"{type(step).__module__}.{type(step).__qualname__}",
        "version": step.version,
        "modules": str(network),
        "image_size": list(context.image_size),
        "seed": context.seed,
        "fitted": None
        if context.moments is None
        else {name: str(getattr(step, name)) for name in step.fit_settings},
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    digest_weights(digest, network)
    return digest.hexdigest()[:24]
