"""How much a channel matters: scores by which the least important ones are found, and penalties
under which they fade away before they are taken out.
"""

from collections.abc import Callable
from itertools import islice
from math import sqrt

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from compression.errors import CompressionError
from compression.pruning.channel_groups import Channels
from compression.pruning.trace import IN
from compression.step import Context

# The score of every position of an axis, or None where this measure says nothing of it.
Slices = Callable[[str, int | str], Tensor | None]


def score_channels(
    kind: str, network: nn.Module, channels: Channels, context: Context, round: int = 0
) -> np.ndarray:
    """The importance of every channel by its number; larger is more important.

    A channel's score is the mean, over the axes on which it occurs, of what its slices score there.

    Args:
        kind: a key of `IMPORTANCES`.
        network: stays as it is.
        channels: of it.
        context: seed, batches and loss for the measures that want them.
        round: draws other random scores.

    Raises:
        CompressionError: no data for a measure that needs some, or one that tells no channels
            apart.
    """
    measure = IMPORTANCES[kind]
    if measure is None:
        generator = np.random.default_rng((context.seed, round))
        return generator.random(channels.trace.variables)
    slices = measure(network, channels, context)
    total = np.zeros(channels.trace.variables)
    count = np.zeros(channels.trace.variables)
    for name, axis in channels.of_key:
        found = slices(name, axis)
        if found is not None:
            at = channels.of_key[name, axis]
            np.add.at(total, at, found.detach().double().cpu().numpy())
            np.add.at(count, at, 1)
    scores = total / np.maximum(count, 1)
    scores[count == 0] = np.nan  # this measure knows nothing of them
    _require_differences(kind, scores, channels)
    return _layer_adaptive(scores, channels) if kind == "lamp" else scores


def _require_differences(kind: str, scores: np.ndarray, channels: Channels) -> None:
    members = [c for g in channels.groups for s in g.signatures for c in channels.members[s, False]]
    known = scores[members][~np.isnan(scores[members])]
    if kind == "bn_scale" and (len(known) == 0 or np.ptp(known) < 1e-6):
        raise CompressionError(
            "prune.importance=bn_scale tells no channels apart: "
            + ("no BatchNorm scales them" if len(known) == 0 else "all BatchNorm scales are equal")
            + ", as in a network that was not trained; train it first, or choose l2."
        )


def magnitude(power: int) -> Callable[[nn.Module, Channels, Context], Slices]:
    """Norm of the slices of all weights (Li et al. 2017; over the group, Fang et al. 2023)."""

    def measure(network: nn.Module, channels: Channels, context: Context) -> Slices:
        tensors = dict(network.named_parameters())

        def slices(name: str, axis: int | str) -> Tensor | None:
            tensor = tensors.get(name)
            if tensor is None or tensor.ndim < 2:
                return None
            return _sums(tensor.detach().abs() ** power, name, axis, channels)

        return slices

    return measure


def bn_scale(network: nn.Module, channels: Channels, context: Context) -> Slices:
    """The absolute scale that BatchNorm gives a channel (Liu et al. 2017, network slimming)."""
    scales = {
        f"{name}.weight": module.weight.detach().abs()
        for name, module in network.named_modules()
        if isinstance(module, _BatchNorm) and module.weight is not None
    }
    return lambda name, axis: scales.get(name)


def taylor(network: nn.Module, channels: Channels, context: Context) -> Slices:
    """The squared change of the loss, to first order (Molchanov et al. 2019, equation 8).

    Raises:
        CompressionError: there is no data.
    """
    names = {name for name, axis in channels.of_key if axis == 0}
    totals: dict[str, Tensor] = {}
    parameters = {n: p for n, p in network.named_parameters() if n in names and p.requires_grad}
    for gradients in _gradients(network, list(parameters.values()), context):
        for (name, parameter), gradient in zip(parameters.items(), gradients, strict=True):
            if gradient is not None:
                change = _sums(parameter.detach() * gradient, name, 0, channels) ** 2
                totals[name] = totals.get(name, 0) + change
    return lambda name, axis: totals.get(name) if axis == 0 else None


def _gradients(network: nn.Module, parameters: list[nn.Parameter], context: Context) -> list:
    source = context.train_batches or context.val_batches
    batches = [] if source is None else list(islice(source(), 10))
    if not batches:
        raise CompressionError(
            "prune.importance=taylor is measured on data, and there is none here; give batches=, "
            "or choose another importance, such as l2."
        )
    loss, device = context.loss or cross_entropy, parameters[0].device
    mode = network.training
    network.eval()
    try:
        with torch.enable_grad():
            return [
                torch.autograd.grad(
                    loss(network(images.to(device)), labels.to(device)),
                    parameters,
                    allow_unused=True,
                )
                for images, labels in batches
            ]
    finally:
        network.train(mode)


def fpgm(network: nn.Module, channels: Channels, context: Context) -> Slices:
    """The distance to all other filters of the layer (He et al. 2019, geometric median)."""
    tensors = dict(network.named_parameters())

    def slices(name: str, axis: int | str) -> Tensor | None:
        tensor = tensors.get(name)
        if tensor is None or tensor.ndim < 2 or axis != 0:
            return None
        filters = tensor.detach().flatten(1)
        return torch.cdist(filters, filters).sum(1)

    return slices


IMPORTANCES: dict[str, Callable[[nn.Module, Channels, Context], Slices] | None] = {
    "l1": magnitude(1),
    "l2": magnitude(2),
    "bn_scale": bn_scale,
    "taylor": taylor,
    "fpgm": fpgm,
    "lamp": magnitude(2),
    "random": None,  # asks nothing of the network
}


def _layer_adaptive(scores: np.ndarray, channels: Channels) -> np.ndarray:
    """A squared norm as a ratio of all that are no smaller in the group (Lee et al. 2021, LAMP)."""
    adapted = scores.copy()
    for group in channels.groups:
        numbers = np.array([c for s in group.signatures for c in channels.members[s, False]])
        order = numbers[np.argsort(-scores[numbers], kind="stable")]
        adapted[order] = scores[order] / np.maximum(np.cumsum(scores[order]), 1e-30)
    return adapted


def _sums(values: Tensor, name: str, axis: int | str, channels: Channels) -> Tensor:
    """Sums of the slices along an axis; of all inputs of a grouped convolution for `IN`."""
    if axis == IN:
        groups = channels.trace.groups[name, IN]
        runs = values.reshape(groups, values.shape[0] // groups, values.shape[1], -1)
        return runs.sum((1, 3)).flatten()
    if isinstance(axis, str):
        raise ValueError(f"{name} has no axis {axis!r}.")
    return values.movedim(axis, 0).reshape(values.shape[axis], -1).sum(1)


def bn_scales(network: nn.Module) -> Tensor:
    """The sum of all absolute BatchNorm scales (Liu et al. 2017, network slimming, equation 1)."""
    found = [
        module.weight.abs().sum()
        for module in network.modules()
        if isinstance(module, _BatchNorm) and module.weight is not None
    ]
    return torch.stack(found).sum() if found else torch.zeros(())


def group_norms(network: nn.Module) -> Tensor:
    """The norms of all filters, each times the root of its size (Wen et al. 2016, equation 4)."""
    found = [
        sqrt(module.weight[0].numel()) * module.weight.flatten(1).norm(dim=1).sum()
        for module in network.modules()
        if isinstance(module, _ConvNd | nn.Linear)
    ]
    return torch.stack(found).sum() if found else torch.zeros(())


PENALTIES: dict[str, Callable[[nn.Module], Tensor]] = {
    "bn_scale": bn_scales,
    "group_norm": group_norms,
}
