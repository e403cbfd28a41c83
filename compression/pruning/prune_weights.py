"""Unstructured pruning: single weights become zero. It makes nothing faster.

Dense hardware multiplies zeros as it does all numbers. What is gained is a file that compresses
well, and a measure of how redundant a network is (Han et al. 2015; Zhu and Gupta 2018).
"""

from typing import Any, NotRequired, TypedDict

import torch
from torch import Tensor, nn
from torch.nn.utils.prune import L1Unstructured

from compression.context import Context
from compression.cost import file_bytes
from compression.cost.file_size import compressed_bytes
from compression.errors import CompressionError
from compression.pruning.settings import PruneWeightsSettings
from compression.step import Step, StructuralPlan, match_layers


class KeepZero:
    """Before each forward pass, sets the masked weights of a module to zero again."""

    def __call__(self, module: nn.Module, inputs: Any) -> None:
        module.get_parameter("weight").data.mul_(module.get_buffer("weight_mask"))


class PruneWeightsPlan(TypedDict):
    """The plan of `PruneWeights`.

    Attributes:
        layers: [weights that are zero, all weights] of each layer, by name.
        scope: of the comparison, as the setting says it.
        bytes: [as it is, compressed] of the weights file of the network after this round.
        skipped: names of layers left alone since their weights are computed before each pass, as by
            masks of `torch.nn.utils.prune`.
    """

    layers: dict[str, list[int]]
    scope: str
    bytes: list[int]
    skipped: NotRequired[list[str]]


class PruneWeights(PruneWeightsSettings, Step[PruneWeightsPlan]):
    """Set the smallest weights of convolutions and linear layers to zero; they stay zero.

    Args:
        sparsity: ratio of the weights that are zero in the end, in (0, 1).
        scope: `global`: the smallest of all layers together, each squared weight as a ratio of
            those that are no smaller in its layer (Lee et al. 2021, LAMP), so that no layer is
            emptied; `uniform`: the same ratio of each layer.
        rounds: in how many rounds to get there, by the cubic schedule of Zhu and Gupta 2018.
        include: name patterns of the layers.
        exclude: name patterns of layers to leave alone.

    Raises:
        CompressionError: a setting is out of range.
    """

    def plan(self, network: nn.Module, context: Context, round: int) -> PruneWeightsPlan:
        """How many weights of each layer are zero after this round.

        Raises:
            CompressionError: a pattern matches nothing.
        """
        wanted = self._wanted(network)
        sizes = {name: layer.weight.detach().abs() for name, layer in wanted.items()}
        ratio = self.sparsity * (1 - (1 - (round + 1) / self.rounds) ** 3)
        plan: PruneWeightsPlan = {
            "layers": _zeros(sizes, ratio, self.scope),
            "scope": self.scope,
            "bytes": [],
        }
        folded = self.finish(self.apply(network, plan))
        plan = {**plan, "bytes": [file_bytes(folded), compressed_bytes(folded)]}
        skipped = sorted(_kinds(network).keys() - _layers(network).keys())
        return {**plan, "skipped": skipped} if skipped else plan

    def structural_plan(
        self, network: nn.Module, context: Context, round: int
    ) -> StructuralPlan[PruneWeightsPlan]:
        """That the structure stays.

        Raises:
            CompressionError: a pattern matches nothing, or there is no layer to prune.
        """
        self._wanted(network)
        return StructuralPlan(plan={"layers": {}, "scope": self.scope, "bytes": []})

    def _wanted(self, network: nn.Module) -> dict[str, Any]:
        layers = _layers(network)
        names = match_layers(list(layers), self.include, self.exclude)
        if not names:
            raise CompressionError("prune_weights finds no convolution or linear layer to prune.")
        return {name: layer for name, layer in layers.items() if name in names}

    @staticmethod
    def restructure(network: nn.Module, plan: PruneWeightsPlan) -> nn.Module:
        """Nothing changes but values.

        Raises:
            CompressionError: the plan was made for another architecture.
        """
        layers = _layers(network)
        for name, (_, size) in plan["layers"].items():
            if name not in layers or layers[name].weight.numel() != size:
                raise CompressionError(
                    f"The prune_weights plan was made for another architecture: there is no layer "
                    f"{name!r} with {size} weights."
                )
        return network

    def transfer_weights(
        self, network: nn.Module, smaller: nn.Module, plan: PruneWeightsPlan
    ) -> None:
        """Mask the smallest weights of each layer of the plan."""
        for name, (zeros, _) in plan["layers"].items():
            _mask(smaller.get_submodule(name), zeros)

    def finish(self, network: nn.Module) -> nn.Module:
        """Fold the masks into the weights."""
        for module in network.modules():
            hooks = module._forward_pre_hooks
            if any(isinstance(hook, KeepZero) for hook in hooks.values()):
                module.get_parameter("weight").data.mul_(module.get_buffer("weight_mask"))
                del module._buffers["weight_mask"]
                for key in [k for k, hook in hooks.items() if isinstance(hook, KeepZero)]:
                    del hooks[key]
        return network

    @staticmethod
    def describe(plan: PruneWeightsPlan) -> list[str]:
        """One line for all layers."""
        layers, (plain, packed), skipped = plan["layers"], plan["bytes"], plan.get("skipped")
        zeros, size = (sum(layer[i] for layer in layers.values()) for i in (0, 1))
        return [
            f"zeroed {zeros / size:.1%} of {size:,} weights in {len(layers)} layers "
            f"({plan['scope']}); this makes nothing faster: the weights file keeps its {plain:,} "
            f"bytes, compressed it has {packed:,}",
            *([f"left alone: {', '.join(skipped)}, whose weights are computed"] if skipped else []),
        ]

    @staticmethod
    def describe_layers(plan: PruneWeightsPlan) -> dict[str, str]:
        """How many weights of each layer are zero."""
        layers = plan["layers"].items()
        return {name: f"zeroed {zeros} of {size} weights" for name, (zeros, size) in layers}


def _layers(network: nn.Module) -> dict[str, Any]:
    """Those with a weight of their own; one that is computed before each pass is none."""
    return {name: m for name, m in _kinds(network).items() if "weight" in m._parameters}


def _kinds(network: nn.Module) -> dict[str, Any]:
    kinds = nn.Linear | nn.modules.conv._ConvNd
    return {name: m for name, m in network.named_modules() if isinstance(m, kinds)}


def _zeros(sizes: dict[str, Tensor], ratio: float, scope: str) -> dict[str, list[int]]:
    """Zeros and number of weights by layer; at least one weight of each layer stays."""
    counts = {name: round(ratio * size.numel()) for name, size in sizes.items()}
    if scope == "global":
        scores = {name: _layer_adaptive(size) for name, size in sizes.items()}
        everything = torch.cat([*scores.values()])
        count = max(1, round(ratio * len(everything)))
        threshold = everything.kthvalue(count).values
        counts = {name: int((score <= threshold).sum()) for name, score in scores.items()}
    return {n: [min(counts[n], size.numel() - 1), size.numel()] for n, size in sizes.items()}


def _layer_adaptive(size: Tensor) -> Tensor:
    """The scores of a layer's weights, the largest first."""
    squares = size.double().flatten().square().sort(descending=True).values
    return squares / squares.cumsum(0).clamp_min(1e-300)


def _mask(module: nn.Module, zeros: int) -> None:
    """Let exactly the `zeros` smallest weights be zero from here on."""
    weight = module.get_parameter("weight").detach()
    if "weight_mask" in module._buffers:
        weight = weight * module.get_buffer("weight_mask")
    else:
        module.register_forward_pre_hook(KeepZero())
    mask = L1Unstructured(zeros).compute_mask(weight, torch.ones_like(weight))
    module.register_buffer("weight_mask", mask)
    module.get_parameter("weight").data.mul_(mask)
