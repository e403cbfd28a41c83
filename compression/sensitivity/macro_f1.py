"""Macro-F1 of a network on labelled batches, for who brings batches but no metric."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from compression.errors import CompressionError


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

    mode, device = network.training, next(network.parameters()).device
    device = torch.device("cpu") if device.type == "meta" else device  # int8: only an outline
    logits, labels = [], []
    network.eval()
    try:
        for images, true in batches:
            logits.append(network(images.to(device)).float().cpu())
            labels.append(true.cpu())
    finally:
        network.train(mode)
    if not logits:
        raise CompressionError("There is no batch of images to evaluate a network on.")
    said = torch.cat(logits)
    return float(multiclass_f1_score(said, torch.cat(labels), said.shape[1], average="macro"))
