"""How much the network misses a unit: the loss without it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from compression.context import Context
from compression.errors import CompressionError
from compression.evaluation_mode import evaluation_mode
from compression.outputs import main_output

Loss = Callable[[Tensor, Tensor], Tensor]  # (logits N x classes, labels N)


@torch.no_grad()
def loss_increase(
    network: nn.Module, units: Sequence[str], context: Context, *, max_batches: int = 10
) -> dict[str, float]:
    """The mean loss without each unit minus that of the whole network, by name.

    Args:
        network: stays as it is; evaluated in eval mode.
        units: names of units that map a tensor to one of the same shape.
        context: its validation batches are used, or else its training batches.
        max_batches: of them to look at, the same for every unit.

    Raises:
        CompressionError: there is no data.
    """
    source = context.val_batches or context.train_batches
    batches = [] if source is None else list(islice(source(), max_batches))
    if not batches:
        raise CompressionError(
            "Importance of units is measured on data, and there is none here; give batches=, or "
            "choose the units by first, last or their names."
        )
    loss = context.loss or cross_entropy
    with evaluation_mode(network):
        whole = _mean_loss(network, batches, loss)
        found = {}
        for name in units:
            with _without(network, name):
                found[name] = _mean_loss(network, batches, loss) - whole
    return found


def _mean_loss(network: nn.Module, batches: Sequence[tuple[Tensor, Tensor]], loss: Loss) -> float:
    device = next(network.parameters()).device
    total: Tensor = torch.zeros((), dtype=torch.float64)
    for images, labels in batches:
        logits = main_output(network(images.to(device)))
        total += len(images) * loss(logits, labels.to(device)).cpu()
    return total.item() / sum(len(images) for images, _ in batches)


@contextmanager
def _without(network: nn.Module, name: str) -> Iterator[None]:
    unit = network.get_submodule(name)
    network.set_submodule(name, nn.Identity())
    try:
        yield
    finally:
        network.set_submodule(name, unit)
