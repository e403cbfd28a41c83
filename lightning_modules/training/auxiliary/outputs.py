"""Auxiliary outputs: what a network of one's own gives beside its logits, while training."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from compression.cost import observed_pass
from compression.errors import CompressionError
from compression.network_copy import copy_network
from compression.outputs import auxiliary_outputs
from lightning_modules.networks import Features, Network

BODY = "body"  # the module whose outputs are the network's


class AuxiliaryOutputs(nn.Module):
    """A loss on each auxiliary output of the network itself, summed.

    Szegedy et al. 2015, "Going Deeper with Convolutions", section 5, weigh them by 0.3; Szegedy et
    al. 2016, "Rethinking the Inception Architecture", in torchvision's training by 0.4.

    Args:
        shape: not looked at.
        num_classes: not looked at.
        image_size: not looked at.
        loss: (logits N x classes, targets) -> scalar.
    """

    whole = True  # it takes a module's whole output, not one tensor

    def __init__(
        self,
        *,
        shape: Sequence[int],
        num_classes: int,
        image_size: tuple[int, int],
        loss: nn.Module,
    ) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, feature: Any, images: Tensor, targets: Tensor) -> Tensor:
        """The network's whole output, the batch and its targets -> scalar."""
        total = torch.zeros((), device=images.device)  # of a pass that gives none
        for logits in auxiliary_outputs(feature).values():
            total = total + self.loss(logits, targets)
        return total


def auxiliary_names(network: Network, *, training: bool = False) -> list[str]:
    """The names or places of the auxiliary outputs of a network; empty where it gives none.

    Args:
        network: stays as it is.
        training: as in training, where some networks give more; this takes a real pass.
    """
    if training:
        twin = copy_network(network).cpu().train()
        with torch.no_grad(), _outputs(twin) as seen:
            twin(torch.zeros(2, 3, *network.image_size))
        return seen
    try:
        return observed_pass(network, network.image_size, _outputs)
    except CompressionError:  # it was run before; a network that is now a file gives nothing
        return []


@contextmanager
def _outputs(network: nn.Module) -> Iterator[list[str]]:
    names: list[str] = []
    with Features(network, [BODY], whole=[BODY]) as features:
        yield names
        if BODY in features.outputs:  # an int8 network has it no more
            names += auxiliary_outputs(features.outputs[BODY])
