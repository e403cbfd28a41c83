"""The first pass of a network: what it leaves open is made, and why it cannot run is said."""

from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from compression.cost import forward_shapes, output_shape
from compression.errors import CompressionError
from lightning_modules.errors import ConfigError
from lightning_modules.networks.network import Network

# Sides in pixels that are tried to tell whether the size is what a network objects to.
SIZES = (224, 64, 32, 256, 128, 299, 384, 28)


def complete(network: Network) -> None:
    """Make what the constructor left open: the shapes of lazy layers, by one real pass.

    Tensors that are plain attributes of a module become buffers, so that they follow it to a
    device and into a saved network.

    Raises:
        NotImplementedError: lazy layers on the meta device; build the network for real.
        CompressionError: the pass fails.
    """
    for module in network.modules():
        for name, value in [*vars(module).items()]:
            if isinstance(value, Tensor):
                delattr(module, name)
                module.register_buffer(name, value)
    lazy = [tensor for tensor in _tensors(network) if is_lazy(tensor)]
    if not lazy:
        return
    if any(tensor.is_meta for tensor in lazy):
        raise NotImplementedError("lazy layers on the meta device")
    modes = {module: module.training for module in network.modules()}
    network.eval()
    forward_shapes(network, network.image_size)
    for module, training in modes.items():
        module.training = training


def check_images(network: Network, name: str, at_size: Callable[[int], Network]) -> None:
    """Pass one image through the network's structure.

    Args:
        network: stays as it is.
        name: of the model, for the sentence.
        at_size: makes the same network for square images of another side in pixels.

    Raises:
        ConfigError: it does not run, or gives no logits.
    """
    try:
        shape = tuple(output_shape(network, network.image_size))
    except CompressionError as error:
        raise refusal(error, name, at_size) from error
    if shape != (1, network.num_classes):
        raise ConfigError(
            f"model {name} gives an output of shape {shape} for one image instead of logits "
            f"(1, {network.num_classes})."
        )


def refusal(error: CompressionError, name: str, at_size: Callable[[int], Network]) -> ConfigError:
    """The sentence for a network that does not run: it names the size only if that is why.

    Args:
        error: of the pass.
        name: of the model.
        at_size: as of `check_images`.
    """
    reason = f"model {name}: {str(error).rstrip('.')}"
    runs = next((side for side in SIZES if _runs(at_size, side)), None)
    if runs is None:
        return ConfigError(f"{reason}; no other size helps, its code must change.")
    return ConfigError(
        f"{reason}; give another data.image_size, such as {runs}, or let the network resize them "
        f"with model.input_size={runs}."
    )


def _runs(at_size: Callable[[int], Network], side: int) -> bool:
    try:
        network = at_size(side)
        output_shape(network, network.image_size)
    except Exception:  # whatever the network's own code raises: it does not run
        return False
    return True


def _tensors(network: nn.Module) -> Iterable[Any]:
    return (*network.parameters(), *network.buffers())
