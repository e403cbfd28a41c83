"""How much a channel matters: scores by which the least important ones are found."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from compression.context import Context
from compression.errors import CompressionError
from compression.pruning.channel_groups import Channels
from compression.pruning.trace import IN, Key


class Importance:
    """The importance of every channel of a network; the larger, the longer it stays.

    One of your own overrides one method, the first that can say it: `of_weights` (each single
    weight), `slices` (each position of an axis of a tensor), `score` (each channel).

    Attributes:
        name: what plans and sentences call it; the class's name where it gives none.
        normalized: whether scores are divided by the mean of their group of layers before
            channels of different layers are compared, since their scale differs by layer.
    """

    name: ClassVar[str] = "importance"
    normalized: ClassVar[bool] = True

    def __init_subclass__(cls, **arguments: Any) -> None:
        """Names the class."""
        super().__init_subclass__(**arguments)
        cls.name = vars(cls).get("name", cls.__name__)

    def of_weights(self, weight: Tensor) -> Tensor:
        """How much each weight of a convolution or linear layer matters, in the shape of `weight`.

        A slice of a tensor is worth the sum of its weights.
        """
        raise NotImplementedError

    def slices(
        self, network: nn.Module, channels: Channels, context: Context
    ) -> Mapping[Key, Tensor]:
        """What each position of an axis scores, as (name of a tensor, axis) -> scores.

        Axes that it leaves out say nothing; `channels.of_key` has all of them. This one sums
        `of_weights`.

        Args:
            network: stays as it is.
            channels: of it.
            context: seed, batches and loss.
        """
        found = {}
        tensors = dict(network.named_parameters())
        values: dict[str, Tensor] = {}
        for name, axis in channels.of_key:
            tensor = tensors.get(name)
            if tensor is None or tensor.ndim < 2:
                continue
            if name not in values:
                values[name] = self.of_weights(tensor.detach())
                self._require(values[name].shape, tensor.shape, f"the weights {name}")
            found[name, axis] = sums(values[name], name, axis, channels)
        return found

    def score(
        self, network: nn.Module, channels: Channels, context: Context, round: int
    ) -> np.ndarray:
        """The score of every channel, by its number; NaN where nothing is known of it.

        This one is the mean, over the axes on which a channel occurs, of what `slices` says there.

        Args:
            network: stays as it is.
            channels: of it; their numbers are below `channels.trace.variables`.
            context: seed, batches and loss.
            round: from 0.

        Raises:
            CompressionError: no data where some is needed, or no channels can be told apart.
        """
        slices = self.slices(network, channels, context)
        total = np.zeros(channels.trace.variables)
        count = np.zeros(channels.trace.variables)
        for key, at in channels.of_key.items():
            if key in slices:
                self._require(slices[key].shape, at.shape, f"axis {key[1]} of {key[0]}")
                np.add.at(total, at, slices[key].detach().double().cpu().numpy())
                np.add.at(count, at, 1)
        scores = total / np.maximum(count, 1)
        scores[count == 0] = np.nan
        return scores

    def _require(self, found: tuple[int, ...], wanted: tuple[int, ...], what: str) -> None:
        if tuple(found) != tuple(wanted):
            raise CompressionError(
                f"prune.importance={self.name} gives scores of the shape {list(found)} for {what}, "
                f"which needs {list(wanted)}."
            )


class L1(Importance):
    """The sum of all absolute weights (Li et al. 2017; over the group, Fang et al. 2023)."""

    name = "l1"

    def of_weights(self, weight: Tensor) -> Tensor:
        """The absolute weights."""
        return weight.abs()


class L2(Importance):
    """The sum of all squared weights (Li et al. 2017; over the group, Fang et al. 2023)."""

    name = "l2"

    def of_weights(self, weight: Tensor) -> Tensor:
        """The squared weights."""
        return weight.abs() ** 2


class LAMP(L2):
    """A squared norm as a ratio of all that are no smaller in the group (Lee et al. 2021)."""

    name = "lamp"
    normalized = False

    def score(
        self, network: nn.Module, channels: Channels, context: Context, round: int
    ) -> np.ndarray:
        """See `Importance.score`."""
        scores = super().score(network, channels, context, round)
        adapted = scores.copy()
        for group in channels.groups:
            numbers = np.array([c for s in group.signatures for c in channels.members[s, False]])
            order = numbers[np.argsort(-scores[numbers], kind="stable")]
            adapted[order] = scores[order] / np.maximum(np.cumsum(scores[order]), 1e-30)
        return adapted


class FPGM(Importance):
    """The distance to all other filters of the layer (He et al. 2019, geometric median)."""

    name = "fpgm"

    def slices(
        self, network: nn.Module, channels: Channels, context: Context
    ) -> Mapping[Key, Tensor]:
        """Of filters only."""
        filters = {
            name: tensor.detach().flatten(1)
            for name, tensor in network.named_parameters()
            if tensor.ndim >= 2 and (name, 0) in channels.of_key
        }
        return {(name, 0): torch.cdist(own, own).sum(1) for name, own in filters.items()}


class BNScale(Importance):
    """The absolute scale that BatchNorm gives a channel (Liu et al. 2017, network slimming)."""

    name = "bn_scale"
    normalized = False

    def slices(
        self, network: nn.Module, channels: Channels, context: Context
    ) -> Mapping[Key, Tensor]:
        """Of BatchNorm only."""
        return {
            (f"{name}.weight", 0): module.weight.detach().abs()
            for name, module in network.named_modules()
            if isinstance(module, _BatchNorm) and module.weight is not None
        }

    def score(
        self, network: nn.Module, channels: Channels, context: Context, round: int
    ) -> np.ndarray:
        """See `Importance.score`.

        Raises:
            CompressionError: the scales tell no channels apart.
        """
        scores = super().score(network, channels, context, round)
        members = [
            c for g in channels.groups for s in g.signatures for c in channels.members[s, False]
        ]
        known = scores[members][~np.isnan(scores[members])]
        if len(known) == 0 or np.ptp(known) < 1e-6:
            raise CompressionError(
                "prune.importance=bn_scale tells no channels apart: "
                + (
                    "no BatchNorm scales them"
                    if len(known) == 0
                    else "all BatchNorm scales are equal"
                )
                + ", as in a network that was not trained; train it first, or choose l2."
            )
        return scores


class Random(Importance):
    """Another order in each round, which says what all others are worth."""

    name = "random"
    normalized = False

    def score(
        self, network: nn.Module, channels: Channels, context: Context, round: int
    ) -> np.ndarray:
        """Drawn by the seed and the round; nothing is asked of the network."""
        return np.random.default_rng((context.seed, round)).random(channels.trace.variables)


def sums(values: Tensor, name: str, axis: int | str, channels: Channels) -> Tensor:
    """Sums of the slices along an axis; of all inputs of a grouped convolution for `IN`.

    Args:
        values: in the shape of the tensor.
        name: of the tensor.
        axis: of it, which `channels` has.
        channels: of the network.
    """
    if axis == IN:
        groups = channels.trace.groups[name, IN]
        runs = values.reshape(groups, values.shape[0] // groups, values.shape[1], -1)
        return runs.sum((1, 3)).flatten()
    if isinstance(axis, str):
        raise ValueError(f"{name} has no axis {axis!r}.")
    return values.movedim(axis, 0).reshape(values.shape[axis], -1).sum(1)
