"""`Predictions`: a network's logits for every image of a split, and which class each image has."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torchmetrics.functional.classification import multiclass_confusion_matrix

Batches = Iterable[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Predictions:
    """All of a split's images in order.

    Attributes:
        logits: float32 N x classes, on the CPU.
        labels: int64 N, on the CPU.
    """

    logits: Tensor
    labels: Tensor

    @cached_property
    def probabilities(self) -> Tensor:
        """N x classes; each row sums to 1."""
        return torch.softmax(self.logits, dim=1)

    @cached_property
    def classes(self) -> Tensor:
        """The most probable class of each image, int64 N; of equals the first."""
        return self.logits.argmax(dim=1)

    @cached_property
    def losses(self) -> Tensor:
        """Cross-entropy of each image, N."""
        return cross_entropy(self.logits, self.labels, reduction="none")

    @cached_property
    def confusion(self) -> list[list[int]]:
        """Images by true class (rows) and predicted class (columns), classes x classes."""
        classes = self.logits.shape[1]
        return multiclass_confusion_matrix(self.classes, self.labels, classes).tolist()


def predict(
    network: nn.Module, batches: Batches, *, device: torch.device | str = "cpu"
) -> Predictions:
    """A network's predictions for labelled batches; its mode and device are restored.

    Args:
        network: uint8 N x 3 x H x W -> logits N x classes.
        batches: (images, labels) pairs.
        device: where the network runs meanwhile.
    """
    with evaluating([network], device=device):
        return predict_each([network], batches, device=device)[0]


@contextlib.contextmanager
def evaluating(networks: Sequence[nn.Module], *, device: torch.device | str) -> Iterator[None]:
    """Networks in eval mode on a device; afterwards as they were."""
    before = [(next(network.parameters()).device, network.training) for network in networks]
    try:
        for network in networks:
            network.to(device).eval()
        yield
    finally:
        for network, (place, training) in zip(networks, before, strict=True):
            network.to(place).train(training)


@torch.inference_mode()
def predict_each(
    callables: Sequence[Callable[[Tensor], Tensor]],
    batches: Batches,
    *,
    device: torch.device | str = "cpu",
) -> list[Predictions]:
    """The predictions of several networks or teachers for the same batches, which are read once.

    Args:
        callables: images N x 3 x H x W -> logits N x classes.
        batches: (images, labels) pairs.
        device: where the images go.
    """
    logits: list[list[Tensor]] = [[] for _ in callables]
    labels = []
    for images, true in batches:
        images = images.to(device)
        for parts, call in zip(logits, callables, strict=True):
            parts.append(call(images).float().cpu())
        labels.append(true.cpu())
    return [Predictions(torch.cat(parts), torch.cat(labels)) for parts in logits]
