"""BatchNorm estimated anew after surgery."""

from collections.abc import Iterable, Sequence
from itertools import islice

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from compression.evaluation_mode import evaluation_mode


def recalibrate(
    network: nn.Module, batches: Iterable[Tensor | Sequence[Tensor]], *, max_batches: int = 20
) -> None:
    """Estimate all running statistics anew, in place, as plain averages over the batches.

    A few seconds of this bring back most of what surgery lost, before any fine-tuning; without it
    an evaluation right after surgery says nothing. Only BatchNorm layers are in training mode
    meanwhile; modes and momenta are restored. Batches of one image have no variance and are
    passed over; without any usable batch, or any BatchNorm, nothing changes.

    Args:
        network: takes the images; its weights stay as they are.
        batches: images N x 3 x H x W, or sequences that begin with them.
        max_batches: how many of them to look at.
    """
    norms = [m for m in network.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    # Of an int8 network there is only an outline.
    norms = [norm for norm in norms if not _is_meta(norm.running_mean)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    statistics = norms[0].running_mean
    assert statistics is not None
    images = (b if isinstance(b, Tensor) else b[0] for b in islice(batches, max_batches))
    try:
        with evaluation_mode(network), torch.no_grad():
            for number, batch in enumerate(b for b in images if len(b) > 1):
                if number == 0:
                    _start_over(norms)
                network(batch.to(statistics.device))
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


def _is_meta(statistics: Tensor | None) -> bool:
    return statistics is not None and statistics.is_meta


def _start_over(norms: list[_BatchNorm]) -> None:
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # PyTorch's way to ask for the cumulative average
        norm.train()
