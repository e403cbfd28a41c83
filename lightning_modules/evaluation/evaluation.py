"""`evaluate`: the figures of a network on labelled batches."""

import torch
from torch import nn

from lightning_modules.evaluation.predictions import Answers, Batches, ask
from lightning_modules.training.classifier import classification_metrics


def evaluate(
    network: nn.Module,
    batches: Batches,
    *,
    split: str = "val",
    device: torch.device | str = "cpu",
) -> dict[str, float]:
    """`{"<split>/f1", "<split>/accuracy", "<split>/loss"}` of a network.

    Args:
        network: uint8 N x 3 x H x W -> logits N x classes; its mode and device are restored.
        batches: (images, labels) pairs.
        split: first part of the keys.
        device: where the network runs meanwhile.
    """
    return split_figures(ask(network, batches, device=device), split=split)


def split_figures(answers: Answers, *, split: str) -> dict[str, float]:
    """The same of a network's answers to a split."""
    found = classification_metrics(answers.logits.shape[1])(answers.logits, answers.labels)
    figures = {**found, "loss": answers.losses.mean()}
    return {f"{split}/{name}": value.item() for name, value in figures.items()}
