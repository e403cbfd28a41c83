"""Which layers that lose inputs are refitted to what they gave, and how near they come.

Only convolutions and Linear layers are. A depthwise convolution loses whole channels: each of its
outputs sees the one input that it saw before, and there is nothing to refit.
"""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from compression.context import Context
from compression.cost.geometry import PLAIN, Plain
from compression.errors import CompressionError
from compression.evaluation_mode import evaluation_mode
from compression.layer_moments import InputMoments, LayerMoments
from compression.network_copy import copy_network
from compression.pruning.cutting import tensor_axes
from compression.pruning.folding import folded
from compression.pruning.least_squares import CutKernel
from compression.pruning.prune_plan import KeptIndices, PrunePlan, RefittedLayer

RIDGES = (1e-3, 1e-2, 1e-1, 1.0)
CAREFUL = 1e-1  # where there are no other images to choose the ridge by
WIDEST = 8192  # inputs of a layer: their covariance takes 256 MiB
ENOUGH = 2  # windows for each input of a layer, where there are no other images to judge by


class CutLayer(NamedTuple):
    """A layer that loses inputs.

    Attributes:
        layer: whole.
        inputs: those that survive, int64 G x K, counted within each group.
        outputs: those that survive, int64.
    """

    layer: Plain
    inputs: Tensor
    outputs: Tensor

    def kernel(self, *, centered: bool) -> CutKernel:
        """What is to be refitted of it."""
        weight = self.layer.weight.detach().cpu().double()[self.outputs]
        weight = weight[:, :, None, None] if weight.ndim == 2 else weight
        kernel = weight.unflatten(0, (len(self.inputs), -1))
        return CutKernel(kernel=kernel, kept=self.inputs, centered=centered)


def with_refit(
    plan: PrunePlan, network: nn.Module, context: Context, setting: str | bool
) -> PrunePlan:
    """The plan with what is to be refitted, and why other layers that lose inputs are not.

    Args:
        plan: of `network`, which stays as it is.
        network: as it enters the round.
        context: of the round; where it has no moments, the plan stays.
        setting: False: nothing is; True: so is what comes no nearer on images that it was not
            fitted to; `auto`: what comes nearer on those too.

    Raises:
        CompressionError: there are no moments and the setting is True, or they are not finite.
    """
    moments = context.moments
    if setting is True and moments is None:
        raise CompressionError(
            "prune.refit=true needs training images, and there are none here; give batches=, or "
            "refit=auto."
        )
    if setting is False or moments is None:
        return plan
    layers, left = _cut_layers(network, plan)
    known = moments.of(layers)
    left |= {name: "the network does not call it" for name in layers if name not in known}
    layers = {name: layer for name, layer in layers.items() if name in known}
    normed = _normed(moments, [name for name, (layer, *_) in layers.items() if layer.bias is None])
    held_out = moments.held_out.of(layers) if moments.held_out else {}
    found: dict[str, RefittedLayer] = {}
    for name, cut in layers.items():
        kernel = cut.kernel(centered=cut.layer.bias is not None or name in normed)
        refitted, why = _judged(kernel, known[name], held_out.get(name))
        if setting is True or not why:
            found[name] = refitted
        else:
            left[name] = why
    return {**plan, "refit": found, "not_refit": left}


def see_cut_layers(plan: PrunePlan, network: nn.Module, moments: InputMoments) -> None:
    """Collect the moments of all layers that a plan may refit, and of the images to judge by.

    Args:
        plan: of `network`, before its refit.
        network: stays as it is.
        moments: of the network.

    Raises:
        CompressionError: they are not finite.
    """
    layers, _ = _cut_layers(network, plan)
    for own in (moments, moments.held_out):
        if own is not None:
            own.of(layers)


def refit(network: nn.Module, smaller: nn.Module, plan: PrunePlan, context: Context) -> None:
    """Give the layers that the plan names their new weights, in place, and the means to biases.

    Args:
        network: that was planned for.
        smaller: has the weights that survive.
        plan: by `with_refit`.
        context: of the round, with the moments of the inputs of the layers of `network`.
    """
    assert context.moments is not None
    wanted = plan.get("refit", {})
    layers, _ = _cut_layers(network, plan)
    known = context.moments.of(wanted)
    for name, how in wanted.items():
        cut, layer = layers[name], smaller.get_submodule(name)
        assert isinstance(layer, PLAIN)
        kernel = cut.kernel(centered=how["centered"])
        change = kernel.equations(known[name]).solution(how["ridge"])
        weights = kernel.cut() + change.view_as(kernel.cut())
        layer.weight.copy_(weights.reshape(layer.weight.shape))
        if layer.bias is not None:
            layer.bias += known[name].output_mean(kernel.difference(weights)).to(layer.bias)


def _judged(
    kernel: CutKernel, seen: LayerMoments, held_out: LayerMoments | None
) -> tuple[RefittedLayer, str]:
    """How a layer is best refitted, and why it would better not be."""
    inputs, judge = seen.mean.shape[1], held_out or seen
    fitted = kernel.equations(seen)
    judged = fitted if held_out is None else kernel.equations(held_out)
    ridges = [CAREFUL] if held_out is None else RIDGES
    errors = {ridge: judged.error_after(fitted.solution(ridge)) for ridge in ridges}
    ridge = min(errors, key=lambda ridge: errors[ridge])
    whole = kernel.energy(judge)
    relative = [error / whole if whole else 0.0 for error in (judged.error, errors[ridge])]
    found: RefittedLayer = {"ridge": ridge, "centered": kernel.centered, "error": relative}
    if held_out is None and seen.positions < ENOUGH * inputs:
        return found, f"{seen.positions} windows are too few for its {inputs} inputs"
    return found, "" if errors[ridge] < judged.error else "it comes no nearer on other images"


def _cut_layers(
    network: nn.Module, plan: KeptIndices
) -> tuple[dict[str, CutLayer], dict[str, str]]:
    """The layers that lose inputs and can be refitted, and why others cannot, by name."""
    network = folded(network)
    owners = Counter(id(p) for m in network.modules() for p in m.parameters(recurse=False))
    found, left = {}, {}
    for name, layer, axes in _inputs_cut(network, plan):
        if not isinstance(layer, PLAIN):
            left[name] = f"a {type(layer).__name__} is not refitted"
            continue
        groups = getattr(layer, "groups", 1)
        inputs, size = torch.as_tensor(axes[1]), layer.weight.shape[1]
        if groups > 1 and size == 1:
            continue
        if owners[id(layer.weight)] > 1:
            left[name] = "another layer has the same weights"
        elif size * layer.weight[0, 0].numel() > WIDEST:
            left[name] = f"it has more than {WIDEST} inputs"
        elif not _is_linear_in_weights(layer):
            left[name] = f"{type(layer).__name__} makes other weights of its own"
        else:
            outputs = torch.as_tensor(axes.get(0, range(len(layer.weight))))
            found[name] = CutLayer(layer, (inputs % size).reshape(groups, -1), outputs)
    return found, left


def _inputs_cut(
    network: nn.Module, plan: KeptIndices
) -> Iterator[tuple[str, nn.Module, dict[int, list[int]]]]:
    for tensor in plan["axes"]:
        path, _, attribute = tensor.rpartition(".")
        layer, axes = network.get_submodule(path), tensor_axes(plan, tensor)
        inputs = 0 if isinstance(layer, _ConvNd) and layer.transposed else 1
        if attribute == "weight" and isinstance(layer, _ConvNd | nn.Linear) and inputs in axes:
            yield path, layer, axes


def _is_linear_in_weights(layer: Plain) -> bool:
    """Whether twice the weights give twice the outputs: not of weights that it standardises."""
    if type(layer) in PLAIN:
        return True
    twin = copy_network(layer)
    assert isinstance(twin, PLAIN)
    if isinstance(layer, nn.Linear):
        shape = [2, layer.in_features]
    else:
        sides = [3 * k * d for k, d in zip(layer.kernel_size, layer.dilation, strict=True)]
        shape = [2, layer.in_channels, *sides]
    images = torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(layer.weight)
    with torch.no_grad():
        if twin.bias is not None:
            twin.bias.zero_()
        once = twin(images)
        twin.weight.mul_(2)
        return torch.allclose(twin(images), 2 * once, rtol=1e-3, atol=1e-5)


def _normed(moments: InputMoments, names: list[str]) -> set[str]:
    """Those of the layers whose outputs go straight into a BatchNorm."""
    made: dict[int, tuple[str, Tensor]] = {}  # with the tensor, so that its identity stays its own
    found: set[str] = set()

    def keep(name: str, output: Tensor) -> None:
        made[id(output)] = (name, output)

    def enter(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if inputs and id(inputs[0]) in made:
            found.add(made[id(inputs[0])][0])

    network = moments.network
    hooks = [
        network.get_submodule(name).register_forward_hook(
            lambda *call, name=name: keep(name, call[-1])
        )
        for name in names
    ]
    hooks += [
        module.register_forward_pre_hook(enter)
        for module in network.modules()
        if isinstance(module, _BatchNorm)
    ]
    try:
        with evaluation_mode(network), torch.no_grad():
            network(next(moments.images())[:2])
    finally:
        for hook in hooks:
            hook.remove()
    return found
