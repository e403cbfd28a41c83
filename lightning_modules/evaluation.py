"""`evaluate`: the figures of a network on labelled batches."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from lightning_modules.classifier import classification_metrics


@torch.inference_mode()
def evaluate(
    network: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    *,
    num_classes: int,
    split: str = "val",
    device: torch.device | str = "cpu",
) -> dict[str, float]:
    """`{"<split>/f1", "<split>/accuracy", "<split>/loss"}` of a network.

    Args:
        network: uint8 N x 3 x H x W -> logits N x classes; its mode and device are restored.
        batches: (images, labels) pairs.
        num_classes: number of classes; macro-F1 is their mean.
        split: first part of the keys.
        device: where the network runs meanwhile.
    """
    before, training = next(network.parameters()).device, network.training
    network.to(device).eval()
    metrics = classification_metrics(num_classes).to(device)
    loss, count = 0.0, 0
    for images, labels in batches:
        labels = labels.to(device)
        logits = network(images.to(device))  # N x classes
        metrics.update(logits, labels)
        loss += nn.functional.cross_entropy(logits, labels, reduction="sum").item()
        count += len(labels)
    network.to(before).train(training)
    figures = {name: value.item() for name, value in metrics.compute().items()}
    return {f"{split}/{name}": value for name, value in {**figures, "loss": loss / count}.items()}
