"""Weights of an ONNX graph in 16 bits, each cast back to 32 where it is used: half the file.

The graph calculates in float32 as before, so that it runs wherever the whole one runs; onnxruntime
and OpenVINO do the casts once, when they load the file.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from compression.quantization.int8_network import Int8Network
from lightning_modules.errors import ConfigError
from lightning_modules.networks import Network

LEAST = 64  # elements of a tensor: for fewer, the cast takes more bytes than it saves


def require_float(network: Network) -> None:
    """Refuses a network whose weights are smaller already.

    Raises:
        ConfigError: it is an int8 network.
    """
    if isinstance(network, Int8Network):
        raise ConfigError("weights=half is for float networks; the weights of this one are int8.")


def halve(model: onnx.ModelProto) -> None:
    """Stores the float32 tensors of a graph as float16, in place.

    Those of few elements stay, and those with values that float16 does not reach (above 65504).
    """
    casts = []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if tensor.data_type != TensorProto.FLOAT or values.size < LEAST:
            continue
        if np.abs(values).max() > np.finfo(np.float16).max:
            continue
        name, small = tensor.name, f"{tensor.name}.half"
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), small))
        casts.append(helper.make_node("Cast", [small], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
