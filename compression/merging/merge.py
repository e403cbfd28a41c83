"""Merging: branches that were trained side by side become the one convolution that they amount to.

Structural re-parameterisation (Ding et al. 2021, RepVGG, arXiv:2101.03697): what is linear in
evaluation is summed into one kernel and bias, so the network computes what it did in less time.
"""

from collections import OrderedDict
from typing import NotRequired, TypedDict

import torch
from torch import Tensor, nn

from compression.context import Context
from compression.cost import meta_copy, output_shape
from compression.errors import CompressionError
from compression.merging.branches import Merged, find_branches, merged_branches
from compression.merging.equivalent_conv import NotAConvolutionError
from compression.merging.settings import MergeSettings
from compression.network_copy import copy_network
from compression.step import Step, StructuralPlan, match_layers

CONV = "reparam_conv"  # the merged convolution of a module that has more in it, as timm calls it
OTHER = "The merge plan was made for another architecture:"


class MergedModule(TypedDict):
    """What becomes of a module: a convolution, or one and the members that follow it.

    Attributes:
        branches: how many were summed.
        inputs, outputs: channels of all groups.
        kernel, stride, padding, dilation: as [height, width].
        groups: of the convolution.
        bias: whether it has one.
        linear: whether it is a Linear, of N x C.
        then: names of the members that follow, in order; the convolution is beside them then.
    """

    branches: int
    inputs: int
    outputs: int
    kernel: list[int]
    stride: list[int]
    padding: list[int]
    dilation: list[int]
    groups: int
    bias: bool
    linear: bool
    then: list[str]


class MergePlan(TypedDict):
    """The plan of `Merge`.

    Attributes:
        layers: by the name of the module.
        skipped: why other modules with branches are left alone, by name.
        fine_tuned: whether the network is trained after it.
    """

    layers: dict[str, MergedModule]
    skipped: dict[str, str]
    fine_tuned: NotRequired[bool]


class Merge(MergeSettings, Step[MergePlan]):
    """Fold parallel branches and their BatchNorm into single convolutions; the outputs stay.

    A module becomes the convolution itself where it does nothing else, and keeps its name; else it
    becomes a sequence of `reparam_conv` and the members that follow, which keep theirs.

    `MergeSettings` says what its settings mean.
    """

    def plan(self, network: nn.Module, context: Context, round: int) -> MergePlan:
        """What each module with branches becomes; no module where there is none.

        Raises:
            CompressionError: a pattern matches nothing.
        """
        found, skipped = find_branches(network, context.image_size)
        if names := [*found, *skipped]:
            wanted = match_layers(names, self.include, self.exclude)
            skipped |= {name: "excluded" for name in names if name not in wanted}
        layers = {name: _described(m) for name, m in found.items() if name not in skipped}
        unsupported = self._read_from_outside(network, layers, context)
        plan: MergePlan = {
            "layers": {name: layers[name] for name in layers if name not in unsupported},
            "skipped": skipped | unsupported,
        }
        if context.fine_tuned:
            plan["fine_tuned"] = True
        return plan

    def structural_plan(
        self, network: nn.Module, context: Context, round: int
    ) -> StructuralPlan[MergePlan]:
        """All of the plan: no value decides.

        Raises:
            CompressionError: as `plan`.
        """
        return StructuralPlan(plan=self.plan(network, context, round))

    @staticmethod
    def restructure(network: nn.Module, plan: MergePlan) -> nn.Module:
        """Put an empty convolution where each planned module is, before what follows in it.

        Raises:
            CompressionError: the plan was made for another architecture.
        """
        modules = dict(network.named_modules())
        for name, merged in plan["layers"].items():
            for needed in (name, *(f"{name}.{member}" for member in merged["then"])):
                if needed not in modules:
                    raise CompressionError(f"{OTHER} there is no module called {needed!r}.")
            network.set_submodule(name, _restructured(modules[name], merged))
        return network

    def transfer_weights(self, network: nn.Module, smaller: nn.Module, plan: MergePlan) -> None:
        """Sum the branches, in float64, by the running statistics of their BatchNorm.

        Raises:
            CompressionError: the plan was made for another architecture.
        """
        for name, planned in plan["layers"].items():
            merged = smaller.get_submodule(name)
            layer = merged.get_submodule(CONV) if planned["then"] else merged
            module = copy_network(network.get_submodule(name)).cpu().double().eval()
            try:
                found = merged_branches(module, planned["inputs"], flat=planned["linear"])
            except NotAConvolutionError as error:
                raise CompressionError(f"{OTHER} {name!r} does {error}.") from error
            if found is None or not isinstance(layer, nn.Conv2d | nn.Linear):
                raise CompressionError(f"{OTHER} {name!r} has no branches.")
            layer.weight.copy_(found.conv.kernel.reshape(layer.weight.shape))
            if layer.bias is not None and found.conv.bias is not None:
                layer.bias.copy_(found.conv.bias)

    @staticmethod
    def describe(plan: MergePlan) -> list[str]:
        """How many modules were merged, what was not, and what that means for a fine-tuning."""
        layers, skipped = plan["layers"], plan["skipped"]
        if not layers and not skipped:
            return ["no module has parallel branches; nothing changed"]
        branches = sum(merged["branches"] for merged in layers.values())
        lines = [f"merged {branches} branches of {len(layers)} modules into as many convolutions"]
        if not layers:
            lines = ["nothing changed"]
        if skipped:
            lines.append(f"left {len(skipped)} modules with branches alone")
        if layers and plan.get("fine_tuned"):
            lines.append(
                "a fine-tuning follows, in which they are trained without branches and BatchNorm; "
                "merged after the last one they would keep both"
            )
        return lines

    @staticmethod
    def describe_layers(plan: MergePlan) -> dict[str, str]:
        """What each module became, and why others are left alone."""
        merged = {name: _words(merged) for name, merged in plan["layers"].items()}
        left = {name: f"left alone: {reason}" for name, reason in plan["skipped"].items()}
        return {**merged, **left}

    def _read_from_outside(
        self, network: nn.Module, layers: dict[str, MergedModule], context: Context
    ) -> dict[str, str]:
        """The modules without which the network does not run: other code reads their members."""

        def runs(chosen: dict[str, MergedModule]) -> bool:
            plan: MergePlan = {"layers": chosen, "skipped": {}}
            try:
                output_shape(self.restructure(meta_copy(network), plan), context.image_size)
            except (AttributeError, TypeError, CompressionError):
                return False
            return True

        if not layers or runs(layers):
            return {}
        alone = {name: merged for name, merged in layers.items() if not runs({name: merged})}
        return dict.fromkeys(alone, "other code of the network reads its members")


def _described(merged: Merged) -> MergedModule:
    conv = merged.conv
    return {
        "branches": conv.branches,
        "inputs": conv.inputs,
        "outputs": conv.outputs,
        "kernel": list(conv.kernel.shape[2:]),
        "stride": list(conv.stride),
        "padding": list(conv.padding),
        "dilation": list(conv.dilation),
        "groups": conv.groups,
        "bias": conv.bias is not None,
        "linear": conv.flat,
        "then": list(merged.then),
    }


def _restructured(module: nn.Module, merged: MergedModule) -> nn.Module:
    tensors: list[Tensor] = [*module.parameters(), *module.buffers()]
    floating = next(tensor for tensor in tensors if tensor.is_floating_point())
    trained = any(parameter.requires_grad for parameter in module.parameters())
    layer = _layer(merged, floating.device, floating.dtype).requires_grad_(trained)
    layer.training = module.training
    if not merged["then"]:
        return layer
    members = {name: module.get_submodule(name) for name in merged["then"]}
    sequence = nn.Sequential(OrderedDict({CONV: layer, **members}))
    sequence.training = module.training  # its members stay as they are
    return sequence


def _layer(merged: MergedModule, device: torch.device, dtype: torch.dtype) -> nn.Module:
    channels = merged["inputs"], merged["outputs"]
    if merged["linear"]:
        return nn.Linear(*channels, bias=merged["bias"], device=device, dtype=dtype)
    return nn.Conv2d(
        *channels,
        _pair(merged["kernel"]),
        stride=_pair(merged["stride"]),
        padding=_pair(merged["padding"]),
        dilation=_pair(merged["dilation"]),
        groups=merged["groups"],
        bias=merged["bias"],
        device=device,
        dtype=dtype,
    )


def _pair(axes: list[int]) -> tuple[int, int]:
    height, width = axes
    return height, width


def _words(merged: MergedModule) -> str:
    kind = "Linear" if merged["linear"] else "{} x {} convolution".format(*merged["kernel"])
    parts = [f"{merged['branches']} branches are one {kind}"]
    parts.append(f"{merged['inputs']} -> {merged['outputs']}")
    if max(merged["stride"]) > 1:
        parts.append("stride {} x {}".format(*merged["stride"]))
    if merged["groups"] > 1:
        parts.append(f"{merged['groups']} groups")
    return ", ".join(parts)
