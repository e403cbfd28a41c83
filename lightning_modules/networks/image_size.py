"""Images of another size than a saved network was trained on.

One rule holds wherever a finished network answers: it takes images of its own size and refuses
others by a sentence with both sizes. A float network can be loaded for any size, or be told
another one, where its layers allow it; an int8 network and an exported file cannot.
"""

from collections.abc import Sequence
from typing import cast

from torch import nn

from compression.cost.meta_pass import output_shape
from compression.errors import CompressionError
from compression.onnx import is_onnx_network
from compression.schema import height_width
from lightning_modules.errors import ConfigError
from lightning_modules.networks.network import Network


def set_image_size(network: Network, image_size: int | Sequence[int]) -> Network:
    """A loaded network for images of a size, which may be another than it was trained on.

    Args:
        network: changed in place.
        image_size: an int or [height, width] in pixels.

    Raises:
        ConfigError, CompressionError: it takes no other size.
    """
    size, graph = height_width(image_size), cast(nn.Module, network)
    if size != tuple(network.image_size):
        if is_onnx_network(graph):
            raise ConfigError(
                f"An int8 network takes images of {' x '.join(map(str, network.image_size))} "
                f"pixels only, not {' x '.join(map(str, size))}: leave data.image_size out, or "
                "name the run of the float network that it came from."
            )
        before, network.image_size = network.image_size, size
        try:
            output_shape(network, size)
        except CompressionError:
            network.image_size = before
            raise
    return network
