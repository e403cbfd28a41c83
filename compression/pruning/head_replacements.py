"""What can take the place of attention of libraries whose code ties its heads to its width."""

from typing import Any

from torch import nn

from compression.pruning.positioned_attention import (
    CosineWindowHeadAttention,
    RelPosHeadAttention,
    ShiftedWindowHeadAttention,
)
from compression.pruning.twins_attention import GroupedHeadAttention, SubSampledHeadAttention

REPLACEMENTS: dict[str, type[nn.Module]] = {
    "timm.models.twins.GlobalSubSampleAttn": SubSampledHeadAttention,
    "timm.models.twins.LocallyGroupedAttn": GroupedHeadAttention,
    "timm.models.vision_transformer_relpos.RelPosAttention": RelPosHeadAttention,
    "torchvision.models.swin_transformer.ShiftedWindowAttention": ShiftedWindowHeadAttention,
    "torchvision.models.swin_transformer.ShiftedWindowAttentionV2": CosineWindowHeadAttention,
}


def replacement(module: nn.Module) -> type[nn.Module] | None:
    """What can stand for a module of a library; None where there is nothing."""
    kind = type(module)
    return REPLACEMENTS.get(f"{kind.__module__}.{kind.__qualname__}")


def head_width(module: nn.Module) -> int | None:
    """The number of channels of a head of attention; None where it is not known."""
    own = vars(module)
    if "head_dim" not in own and replacement(module) is not None:
        back: Any = module.proj
        return int(back.in_features) // own["num_heads"]
    return own.get("head_dim")
