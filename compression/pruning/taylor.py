"""The importance that is measured on data: what the loss would lose."""

from collections.abc import Mapping
from itertools import islice

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from compression.context import Context
from compression.errors import CompressionError
from compression.evaluation_mode import evaluation_mode
from compression.outputs import main_output
from compression.pruning.channel_groups import Channels
from compression.pruning.importance import Importance, sums
from compression.pruning.trace import Key

BATCHES = 10


class Taylor(Importance):
    """The squared change of the loss, to first order (Molchanov et al. 2019, equation 8)."""

    name = "taylor"
    normalized = False

    def slices(
        self, network: nn.Module, channels: Channels, context: Context
    ) -> Mapping[Key, Tensor]:
        """Of the outputs of each layer.

        Raises:
            CompressionError: there is no data, nothing of the network is trained, or gradients are
                not finite.
        """
        names = {name for name, axis in channels.of_key if axis == 0}
        totals: dict[Key, Tensor] = {}
        parameters = {n: p for n, p in network.named_parameters() if n in names and p.requires_grad}
        for gradients in _gradients(network, list(parameters.values()), context):
            for (name, parameter), gradient in zip(parameters.items(), gradients, strict=True):
                if gradient is not None:
                    change = sums(parameter.detach() * gradient, name, 0, channels) ** 2
                    if not change.isfinite().all():
                        raise CompressionError(
                            f"prune.importance=taylor: the gradients of {name} are not all finite "
                            "numbers on these images: the network's weights or the images are "
                            "damaged; train it anew, or give other images."
                        )
                    totals[name, 0] = totals.get((name, 0), 0) + change
        return totals


def _gradients(network: nn.Module, parameters: list[nn.Parameter], context: Context) -> list:
    source = context.train_batches or context.val_batches
    batches = [] if source is None else list(islice(source(), BATCHES))
    if not batches:
        raise CompressionError(
            "prune.importance=taylor is measured on data, and there is none here; give batches=, "
            "or choose another importance, such as l2."
        )
    if not parameters:
        raise CompressionError(
            "prune.importance=taylor is measured by gradients, and every parameter of this network "
            "is frozen; unfreeze them (requires_grad_), or choose another importance, such as l2."
        )
    loss, device = context.loss or cross_entropy, parameters[0].device
    with evaluation_mode(network), torch.enable_grad():
        return [
            torch.autograd.grad(
                loss(main_output(network(images.to(device))), labels.to(device)),
                parameters,
                allow_unused=True,
            )
            for images, labels in batches
        ]
