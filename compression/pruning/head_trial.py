"""Which attention modules of a network let whole heads be taken out."""

from collections.abc import Sequence

from torch import nn

from compression.pruning.attention_heads import attention_modules
from compression.pruning.channel_budget import ChannelBudget
from compression.pruning.channel_groups import Channels
from compression.pruning.head_attention import with_head_attention
from compression.pruning.prunable_groups import prunable_groups
from compression.pruning.shape_trial import ShapeTrial
from compression.pruning.tracing import trace_channels


def prunable_heads(network: nn.Module, image_size: Sequence[int]) -> list[str]:
    """Names of the attention modules that work with fewer heads.

    Of all others the channels are followed one by one, as those of any layer.

    Args:
        network: stays as it is.
        image_size: height and width in pixels.

    Raises:
        CompressionError: the network cannot take images of that size.
    """
    names = attention_modules(network)
    if not names:
        return []
    twin = with_head_attention(network, names)
    channels = Channels(trace_channels(twin, image_size, names))
    groups = [group for group in channels.groups if group.heads]
    budget = ChannelBudget(twin, channels, groups, round_to=1, min_ratio=0)
    trial = ShapeTrial(twin, budget, image_size)
    prunable, _ = prunable_groups(trial, channels)
    found = {name for n in prunable for name in trial.budget.groups[n].heads}
    return [name for name in names if name in found]
