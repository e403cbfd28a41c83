"""What treating one layer alone does to the logits on training images: a scan for optimisers.

The loss is the mean Kullback-Leibler divergence from the logits of the network as it enters, as
Frantar & Alistarh 2022, "SPDY: Accurate Pruning with Speedup Guarantees", section 3.3, judge
candidates by the outputs of the whole. Validation images stay unseen.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import kl_div

from compression.context import Context
from compression.engine import no_images
from compression.errors import CompressionError
from compression.evaluation_mode import batch_statistics, evaluation_mode
from compression.layer_moments import InputMoments
from compression.outputs import main_output
from compression.sensitivity.progress import Progress
from compression.sensitivity.sensitivity_scan import scan_key
from compression.sensitivity.stored_metrics import stored_metrics
from compression.step import Step, Treatment

BATCH = 64  # images, at most


@dataclass(frozen=True, kw_only=True)
class LossPoint:
    """One layer treated; see `Treatment` for all but the loss.

    Attributes:
        loss: mean divergence of the logits from those of the network as it enters, in nats.
    """

    layer: str
    ratio: float
    kept: float
    what: str
    loss: float


def loss_ratios(scan_ratios: Sequence[float]) -> tuple[float, ...]:
    """The ratios of a scan of losses: those of a step, and half of the smallest.

    What costs the logits little can be cut further than one would look for macro-F1.
    """
    return (min(scan_ratios) / 2, *scan_ratios)


def scan_losses(
    step: Step, treatments: Iterable[Treatment], network: nn.Module, context: Context
) -> list[LossPoint]:
    """What each treatment does to the logits; those that do not work are left out.

    Args:
        step: whose treatments they are; their weights are fitted as they will be.
        treatments: in the order of the points.
        network: stays as it is.
        context: has training batches. Keeps the points in `scans`.

    Raises:
        CompressionError: there are no training images, or the folder cannot be used.
    """
    divergence = LogitDivergence(network, training_images(step, network, context))
    folder = None if context.scans is None else context.scans / scan_key(step, network, context)
    with stored_metrics(folder) as stored:
        points, progress = [], Progress(f"losses of {step.name}")
        for treatment in treatments:
            measure = partial(_try, treatment, step, network, divergence, context)
            key = (
                f"{treatment.layer}: {treatment.what}, loss on batches of {divergence.count} images"
            )
            found = stored.get(key, measure)
            if found is not None:
                own = {
                    name: getattr(treatment, name) for name in ("layer", "ratio", "kept", "what")
                }
                points.append(LossPoint(**own, **found))
            progress.tell(len(points), treatment.layer)
    return points


def _try(
    treatment: Treatment,
    step: Step,
    network: nn.Module,
    divergence: "LogitDivergence",
    context: Context,
) -> dict[str, Any] | None:
    plan = treatment.plan()
    if plan is None:
        return None
    loss = divergence(step.apply(network, plan, context))
    return None if loss is None else {"loss": loss}


def training_images(step: Step, network: nn.Module, context: Context) -> list[Tensor]:
    """The images that moments are of, in batches N x C x H x W.

    Raises:
        CompressionError: there are none.
    """
    moments = context.moments
    if moments is None and context.train_batches is not None:
        moments = InputMoments(network, context.train_batches, seed=context.seed)
    if moments is None:
        raise no_images(step)
    images = torch.cat(list(moments.images()))
    return list(images.tensor_split(ceil(len(images) / BATCH)))  # none of them is a small rest


class LogitDivergence:
    """How far the logits of networks are from one network's.

    The BatchNorm of all of them goes by the same batches, as it is recalibrated after surgery; so
    they differ in nothing but their layers.

    Args:
        network: stays as it is.
        images: in batches, N x C x H x W as the network takes them.

    Raises:
        CompressionError: its logits are not finite.
    """

    def __init__(self, network: nn.Module, images: list[Tensor]) -> None:
        self.images = images
        self._target = self._log_probabilities(network)
        if not self._target.isfinite().all():
            raise CompressionError(
                "The network's logits are not all finite numbers on these images: its weights or "
                "the images are damaged; train it anew, or give other images."
            )

    @property
    def count(self) -> int:
        """How many images there are."""
        return sum(map(len, self.images))

    def __call__(self, network: nn.Module) -> float | None:
        """The mean divergence of another network; None where its logits are not finite."""
        said = self._log_probabilities(network)
        if not said.isfinite().all():
            return None
        return max(0.0, float(kl_div(said, self._target, reduction="batchmean", log_target=True)))

    @torch.no_grad()
    def _log_probabilities(self, network: nn.Module) -> Tensor:
        """N x classes, in float64."""
        # One image may have no variance.
        mode = batch_statistics if min(map(len, self.images)) > 1 else evaluation_mode
        with mode(network):
            logits = [main_output(network(images)).double().cpu() for images in self.images]
        return torch.cat(logits).log_softmax(-1)
