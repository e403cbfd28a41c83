"""A training graph that is the network, and trains each layer which ends up in the int8 file."""

import torch
from torch import Tensor, fx, nn

from compression.errors import CompressionError
from compression.network_copy import copy_network, forget_stored
from compression.outputs import main_output
from compression.quantization.training_graph import set_training, training_graph

SHOWN = 5  # names in a sentence
CLOSE = 1e-3  # largest difference of two logits, relative to the largest logit


def trainable_graph(network: nn.Module, images: Tensor) -> fx.GraphModule:
    """The `training_graph` of a network, in evaluation; gives its logits, and trains all of it.

    Args:
        network: stays as it is.
        images: N x C x H x W, 0..255, to try it on.

    Raises:
        CompressionError: the network cannot be traced, its graph gives other logits for the images,
            or there are parameters that the logits depend on and no gradient reaches.
    """
    graph = training_graph(network, images.shape[-2:], images.shape[1])
    set_training(graph, False)
    twin = copy_network(network).float().cpu().eval()
    with torch.no_grad():
        expected, found = main_output(twin(images.clone())), graph(images.float())
    difference = (found - expected).abs().max().item()
    if not difference <= CLOSE * max(1.0, expected.abs().max().item()):
        raise CompressionError(
            f"quantize_aware cannot train this network: its graph gives other logits (by "
            f"{difference:.2g}), so its forward goes by something that a graph does not keep, such "
            "as the number of images, values, or chance."
        )
    forget_stored(twin)  # by the pass without gradients
    require_gradients(twin, graph, images.float())
    return graph


def require_gradients(network: nn.Module, graph: fx.GraphModule, images: Tensor) -> None:
    """Refuses a network that has parameters which its logits depend on and no gradient reaches.

    Frozen parameters need none, nor do those that have no part in the logits: the file lacks them.

    Args:
        network: in evaluation, on the CPU.
        graph: of `training_graph` of the network.
        images: N x C x H x W, floating, 0..255.

    Raises:
        CompressionError: names the parameters.
    """
    used = {str(node.target) for node in graph.graph.nodes if node.op == "get_attr"}
    in_graph = reached(graph, images)
    try:
        in_network = reached(network, images)
    except RuntimeError:  # it writes over what its own backward pass needs; the graph does not
        in_network = in_graph
    lost = []
    for name, aliases in _names(network).items():
        trains = not aliases.isdisjoint(in_network) and not aliases.isdisjoint(in_graph)
        if not trains and not aliases.isdisjoint(used | in_network):
            lost.append(name)
    if lost:
        rest = f" and {len(lost) - SHOWN} more" if len(lost) > SHOWN else ""
        raise CompressionError(
            f"quantize_aware cannot train {', '.join(lost[:SHOWN])}{rest}: the logits depend on "
            "them, but no gradient reaches them (detach, no_grad or a value that is written over "
            "stands in between); freeze them with requires_grad_(False), or take quantize."
        )


def reached(network: nn.Module, images: Tensor) -> set[str]:
    """The names of the parameters that get a gradient from the logits of some images."""
    named = {
        name: parameter
        for name, parameter in network.named_parameters(remove_duplicate=False)
        if parameter.requires_grad
    }
    if not named:
        return set()
    with torch.enable_grad():
        logits = main_output(network(images.clone()))
    if not logits.requires_grad:
        return set()
    gradients = torch.autograd.grad(logits.sum(), list(named.values()), allow_unused=True)
    return {name for name, gradient in zip(named, gradients, strict=True) if gradient is not None}


def _names(network: nn.Module) -> dict[str, set[str]]:
    """The first name of each parameter that is not frozen, and all its names: it may be shared."""
    names: dict[int, set[str]] = {}
    for name, parameter in network.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), set()).add(name)
    return {name: names[id(p)] for name, p in network.named_parameters() if p.requires_grad}
