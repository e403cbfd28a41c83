"""A network as pruning sees it, before any size is chosen."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import nn

from compression.context import Context
from compression.errors import CompressionError
from compression.pruning.auto_importance import AutoImportance
from compression.pruning.channel_budget import ChannelBudget
from compression.pruning.channel_group import ChannelGroup, layer_name
from compression.pruning.channel_groups import Channels
from compression.pruning.folding import folded, parametrized_layers
from compression.pruning.head_attention import with_head_attention
from compression.pruning.head_trial import prunable_heads
from compression.pruning.importance import Importance
from compression.pruning.prunable_groups import prunable_groups
from compression.pruning.settings import IMPORTANCES, PruneSettings
from compression.pruning.shape_trial import ShapeTrial
from compression.pruning.tracing import trace_channels
from compression.step import match_layers


@dataclass(frozen=True)
class PruningState:
    """What is known of a network in one round.

    Attributes:
        channels: of it.
        importance: by which they are scored; of `auto` the one that was taken.
        scores: importance of each channel, by its number.
        shape_trial: has the groups of layers, and tries sizes out.
        prunable: numbers of the groups that can be cut.
        skipped: why others cannot, by name.
        parametrized: layers whose weights are made of other tensors; here they are plain ones.
    """

    channels: Channels
    importance: Importance
    scores: np.ndarray
    shape_trial: ShapeTrial
    prunable: list[int]
    skipped: dict[str, str]
    parametrized: list[str]

    def leaving(self, reasons: Mapping[int, str]) -> "PruningState":
        """The same with some groups left whole, by number, and why."""
        shape_trial = self.shape_trial.copy()
        budget = shape_trial.budget
        for number in reasons:
            budget.allowed[number] = [budget.groups[number].granularity]
        named = {budget.names[number]: why for number, why in reasons.items()}
        prunable = [number for number in self.prunable if number not in reasons]
        return replace(
            self, shape_trial=shape_trial, prunable=prunable, skipped=self.skipped | named
        )

    @classmethod
    def of(
        cls,
        network: nn.Module,
        context: Context,
        round: int,
        settings: PruneSettings,
    ) -> "PruningState":
        """Trace a network, score its channels, and find out which groups of layers can be cut.

        Args:
            network: stays as it is.
            context: says the image size, and has the data that some importances want.
            round: from 0.
            settings: of the step, of which this takes importance, exclude, round_to and min_ratio.

        Raises:
            CompressionError: a pattern matches nothing, or the importance cannot be measured.
        """
        parametrized = parametrized_layers(network)
        network = folded(network)
        heads = prunable_heads(network, context.image_size)
        traced = with_head_attention(network, heads)
        channels = Channels(trace_channels(traced, context.image_size, heads))
        importance: Importance = settings.importance
        if isinstance(importance, AutoImportance):
            importance = importance.choice(network, context)
        scores = importance.score(network, channels, context, round)
        if np.shape(scores) != (channels.trace.variables,):
            raise CompressionError(
                f"prune.importance={importance.name} gives scores of the shape "
                f"{list(np.shape(scores))} for {channels.trace.variables} channels."
            )
        groups, skipped = _candidates(channels, scores, importance.name, settings.exclude)
        budget = ChannelBudget(
            network,
            channels,
            groups,
            round_to=settings.round_to,
            min_ratio=settings.min_ratio,
        )
        shape_trial = ShapeTrial(traced, budget, context.image_size)
        prunable, fixed = prunable_groups(shape_trial, channels)
        budget = shape_trial.budget
        for number, name in fixed.items():
            module = type(network.get_submodule(name)).__name__
            skipped[budget.names[number]] = f"fixed by the code of {module}"
            budget.allowed[number] = [budget.groups[number].granularity]
        skipped |= {n: why for n, why in channels.left_alone().items() if n not in skipped}
        return cls(channels, importance, scores, shape_trial, prunable, skipped, parametrized)

    def why_whole(self) -> str | None:
        """Where no channels can be taken out at all, that and why; of `prune`, in words."""
        if self.prunable:
            return None
        counted = Counter(self.skipped.values()).items()
        reasons = [f"{n} left alone: {reason}" for reason, n in counted]
        unknown = self.channels.trace.unknown
        reasons += [f"the operation {op} in {module or 'it'}" for op, module in unknown.items()]
        told = f" ({', '.join(reasons)})" if reasons else ""
        return f"can take no channels out of this network{told}"

    def told_importance(self) -> str:
        """The importance in words that tell its scores from those of any other.

        Of one's own the name says too little: its code, settings and data may have changed.
        """
        importance = self.importance
        kind = type(importance)
        if IMPORTANCES.name_of(f"{kind.__module__}.{kind.__qualname__}") is not None:
            return importance.name
        digest = hashlib.sha256(np.ascontiguousarray(self.scores).tobytes()).hexdigest()
        return f"{importance.name} (scores {digest[:12]})"


def _candidates(
    channels: Channels, scores: np.ndarray, importance: str, exclude: Sequence[str]
) -> tuple[list[ChannelGroup], dict[str, str]]:
    """The groups that may be cut, and why others may not, by name."""
    skipped: dict[str, str] = {}
    makers = {layer_name(name) for name, axis in channels.of_key if axis == 0}
    excluded = match_layers(sorted(makers), exclude, []) if exclude else set()
    found = []
    for group in channels.groups:
        made = {layer_name(name) for name, axis in group.axis_counts if axis == 0}
        numbers = [channels.members[s, False][0] for s in group.signatures]
        if made & excluded:
            skipped[group.name] = "excluded"
        elif np.isnan(scores[numbers]).any():
            skipped[group.name] = f"without {importance}"
        else:
            found.append(group)
    return found, skipped
