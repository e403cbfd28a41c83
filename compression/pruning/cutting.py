"""Cutting the tensors of a network: from a plan's indices alone, also on the meta device."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

from compression.errors import CompressionError
from compression.network_copy import forget_stored
from compression.pruning.attention_heads import tell_heads
from compression.pruning.folding import fold
from compression.pruning.head_attention import HeadAttention, put_head_attention
from compression.pruning.prune_plan import KeptIndices
from compression.pruning.told_sizes import sizes_of_parts


def tensor_axes(plan: KeptIndices, name: str) -> dict[int, list[int]]:
    """The surviving indices along each cut axis of a tensor; for a grouped convolution's axis 1,
    those of all its input channels.
    """
    return {int(axis): plan["kept"][number] for axis, number in plan["axes"][name].items()}


def cut_shape(
    shape: Sequence[int], axes: Mapping[int, Sequence[int]], groups: int = 1
) -> torch.Size:
    """The shape after cutting; `groups` of a convolution, whose axis 1 holds one group's inputs."""
    found = list(shape)
    for axis, kept in axes.items():
        found[axis] = len(kept) // groups if axis == 1 else len(kept)
    return torch.Size(found)


def cut_tensor(tensor: Tensor, axes: Mapping[int, Sequence[int]], groups: int = 1) -> Tensor:
    """What survives of a weight, or of anything of its shape, such as a moment of an optimizer.

    Args:
        tensor: a parameter or buffer.
        axes: surviving indices, in their new order; along axis 1 of a grouped convolution those
            of all input channels, run by run.
        groups: of the convolution.
    """
    for axis in sorted(axes):
        kept = torch.as_tensor(axes[axis], device=tensor.device)
        if axis != 1 or groups == 1:
            tensor = tensor.index_select(axis, kept)
            continue
        columns = (kept % tensor.shape[1]).reshape(groups, -1)  # axis 0 is cut already
        rows = torch.arange(tensor.shape[0], device=tensor.device) // (tensor.shape[0] // groups)
        tensor = tensor[torch.arange(len(rows), device=tensor.device)[:, None], columns[rows]]
    return tensor


def cut_by_plan(tensor: Tensor, name: str, plan: KeptIndices) -> Tensor:
    """What survives of a tensor of the shape of the one called `name`, which the plan cuts."""
    return cut_tensor(tensor, tensor_axes(plan, name), plan["groups"].get(name, 1))


def cut_structure(network: nn.Module, plan: KeptIndices) -> nn.Module:
    """Put empty tensors of the new shapes into `network`, in place.

    Raises:
        CompressionError: the plan was made for another architecture.
    """
    fold(network, plan.get("folded", []))
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    shapes = {}
    for name, before in plan["shapes"].items():
        found = tensors.get(name)
        if found is None or list(found.shape) != list(before):
            has = "is missing" if found is None else f"has the shape {list(found.shape)}"
            raise CompressionError(
                f"The prune plan was made for another architecture: {name!r} {has} instead of "
                f"{list(before)}."
            )
        shapes[name] = cut_shape(before, tensor_axes(plan, name), plan["groups"].get(name, 1))
    heads = plan.get("heads", {})
    put_head_attention(network, heads)
    set_shapes(network, shapes)
    tell_heads(network, {name: left for name, (left, _) in heads.items()})
    return network


def set_shapes(network: nn.Module, shapes: Mapping[str, Sequence[int]]) -> None:
    """Give tensors new shapes, without values, and tell their modules.

    A tensor that several modules share stays shared.
    """
    lists, changed = sizes_of_parts(network), {}
    places = _places(network)
    for name, shape in shapes.items():
        path, _, attribute = name.rpartition(".")
        old = getattr(network.get_submodule(path), attribute)
        new = torch.empty(tuple(shape), dtype=old.dtype, device=old.device)
        if is_parameter := isinstance(old, nn.Parameter):
            new = nn.Parameter(new, requires_grad=old.requires_grad)
        for path, attribute in places[id(old)]:
            module = network.get_submodule(path)
            own: dict[str, Any] = vars(module)["_parameters" if is_parameter else "_buffers"]
            own[attribute] = new
            changed[path] = module
    for module in changed.values():
        _tell(module)
    for set_anew in lists:
        set_anew()
    forget_stored(network)


def _places(network: nn.Module) -> dict[int, list[tuple[str, str]]]:
    """By id of a tensor, the modules that have it, and under which name."""
    found: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for path, module in network.named_modules():
        for attribute, tensor in (*module._parameters.items(), *module._buffers.items()):
            found[id(tensor)].append((path, attribute))
    return found


def _tell(module: nn.Module) -> None:
    """Set the sizes that a module keeps beside its tensors."""
    if isinstance(module, _ConvNd):
        _tell_convolution(module)
    elif isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, _NormBase):
        for tensor in (module.weight, module.running_mean):
            if tensor is not None:
                module.num_features = len(tensor)
    elif isinstance(module, nn.GroupNorm):
        module.num_channels = len(module.weight)
    elif isinstance(module, nn.Embedding):
        module.num_embeddings, module.embedding_dim = module.weight.shape
    elif isinstance(module, HeadAttention):
        module.embed_dim = module.kdim = module.vdim = module.in_proj_weight.shape[1]
    elif isinstance(module, nn.PReLU):
        module.num_parameters = len(module.weight)
    weight = getattr(module, "weight", None)
    if hasattr(module, "normalized_shape") and isinstance(weight, Tensor):
        # LayerNorm, and what timm has of its kind: no class in common.
        setattr(module, "normalized_shape", tuple(weight.shape))  # noqa: B010


def _tell_convolution(module: _ConvNd) -> None:
    outer, inner = module.weight.shape[:2]
    if module.transposed:
        if module.groups > 1 and module.groups == module.in_channels:
            module.groups = outer
        module.in_channels, module.out_channels = outer, inner * module.groups
        return
    if module.groups > 1 and module.groups == module.in_channels:  # depthwise: a group a channel
        module.groups = outer // (module.out_channels // module.in_channels)
    module.out_channels, module.in_channels = outer, inner * module.groups
