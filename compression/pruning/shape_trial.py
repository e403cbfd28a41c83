"""Trying sizes out: a network's own code may have written some down."""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from compression.cost import forward_shapes, meta_copy, observed_pass
from compression.pruning.attention_heads import tell_heads
from compression.pruning.channel_budget import ChannelBudget, Counts
from compression.pruning.channel_groups import Channels
from compression.pruning.cutting import set_shapes
from compression.pruning.tracing import inside, trace_channels


class ShapeTrial:
    """Tries sizes out on a copy without values.

    Args:
        network: stays as it is.
        budget: gives the shapes.
        image_size: height and width in pixels.
    """

    def __init__(
        self, network: nn.Module, budget: ChannelBudget, image_size: Sequence[int]
    ) -> None:
        self.bare = observed_pass(network, image_size, _before_pass)
        self.budget, self.image_size = budget, image_size
        self.output_shape = forward_shapes(copy.deepcopy(self.bare), image_size)

    def copy(self) -> "ShapeTrial":
        """The same, with sizes of its own."""
        return self.with_budget(self.budget.copy())

    def with_budget(self, budget: ChannelBudget) -> "ShapeTrial":
        """The same network with other groups or sizes."""
        twin = copy.copy(self)
        twin.budget = budget
        return twin

    def smaller(self, counts: Counts) -> nn.Module:
        """The network in other sizes, on the meta device."""
        on_meta = all(p.is_meta for p in self.bare.parameters())
        twin = meta_copy(self.bare) if on_meta else copy.deepcopy(self.bare)
        set_shapes(twin, self.budget.shapes(counts))
        tell_heads(twin, self.budget.heads(counts))
        return twin

    def channels(self, counts: Counts) -> Channels:
        """Those of the network in other sizes.

        With two heads where one is left, since a single one cannot be told from no channel.
        """
        traced = dict(counts)
        for number, group in enumerate(self.budget.groups):
            if [*group.heads.values()] == [group.granularity] and counts.get(number) == 1:
                traced[number] = 2
        heads = self.budget.trace.heads
        return Channels(trace_channels(self.smaller(traced), self.image_size, heads))

    def failing_module(self, counts: Counts) -> str | None:
        """The name of the module that fails in these sizes, or None."""
        where: list[str] = []
        twin = self.smaller(counts)
        try:
            with inside(twin, where), torch.no_grad():
                shape = forward_shapes(twin, self.image_size)
        except Exception:  # whatever the network's own code raises
            return where[-1] if where else ""
        return None if shape == self.output_shape else ""


@contextmanager
def _before_pass(twin: nn.Module) -> Iterator[nn.Module]:
    """The copy without what a pass stores in it, such as positions for that image size."""
    yield copy.deepcopy(twin)
