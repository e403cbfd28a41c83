"""Attention whose heads can be taken out whole: which rows of its weights are of which head.

Such a module has its number of heads and the width of one as numbers of its own, as timm's
`Attention` and `nn.MultiheadAttention` have: a head cannot be narrowed then, but left out.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from compression.pruning.head_attention import replaceable
from compression.pruning.head_replacements import head_width

# Layers that make queries, keys and values, as code calls them, and how many of the three.
PROJECTIONS = {
    "qkv": 3, "qk": 2, "kv": 2, "q": 1, "k": 1, "v": 1, "q_proj": 1, "k_proj": 1, "v_proj": 1,
}  # fmt: skip
WIDTHS = ("attn_dim", "attention_dim")  # of all heads, as code calls it


def attention_modules(network: nn.Module) -> list[str]:
    """Names of the modules whose heads might be taken out whole."""
    return [
        name
        for name, module in network.named_modules()
        if head_rows(module) and vars(module)["num_heads"] > 1
    ]


def head_rows(module: nn.Module) -> dict[str, Tensor]:
    """The number of the head that each row of a weight belongs to, by the weight's name.

    Empty of what is no attention, or of which it is not known.
    """
    heads, width = vars(module).get("num_heads"), head_width(module)
    if not (isinstance(heads, int) and isinstance(width, int)):
        return {}
    head = torch.arange(heads).repeat_interleave(width)
    if isinstance(module, nn.MultiheadAttention):
        return {"in_proj_weight": head.repeat(3)} if replaceable(module) else {}
    found = {}
    for name, child in module.named_children():
        if name in PROJECTIONS and isinstance(child, nn.Linear | _ConvNd):
            rows = head.repeat(PROJECTIONS[name])
            if len(child.weight) != len(rows):
                return {}
            found[f"{name}.weight"] = rows
    return found


def tell_heads(network: nn.Module, heads: Mapping[str, int]) -> None:
    """Set the number of heads of each named module, and what it keeps of it, in place."""
    for name, number in heads.items():
        module = network.get_submodule(name)
        own = vars(module)
        width = own["num_heads"] * own["head_dim"]
        for attribute in WIDTHS:
            if own.get(attribute) == width:
                setattr(module, attribute, number * own["head_dim"])
        for child in module.children():  # timm's biases by position
            shape = vars(child).get("bias_shape", ())
            if shape[-1:] == (own["num_heads"],):
                vars(child).update(bias_shape=(*shape[:-1], number), num_heads=number)
        setattr(module, "num_heads", number)  # noqa: B010 - modules know of no such attribute
