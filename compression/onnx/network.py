"""Networks that are an ONNX graph: asking whether one is, and running it.

What is known of int8 in this project is known here: who treats such networks in their own way asks
`is_onnx_network`, not for a class.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeGuard

from torch import nn

from compression.errors import CompressionError
from compression.images import check_shape

if TYPE_CHECKING:
    import numpy as np
    import onnxruntime


class OnnxNetwork(Protocol):
    """A module that answers through a stored ONNX graph, as an int8 network does.

    It has no weights of its own: it can be evaluated, saved and copied, but neither trained nor
    traced.

    Attributes:
        onnx_content: of the file, uint8 N x 3 x H x W -> logits N x classes; None until it is
            loaded.
        outline: the float network that it came from, on the meta device: what is counted.
    """

    onnx_content: bytes | None
    outline: nn.Module


def is_onnx_network(network: nn.Module) -> TypeGuard[OnnxNetwork]:
    """Whether a network is a stored ONNX graph, not PyTorch layers with weights."""
    return hasattr(network, "onnx_content")


def counted_network(network: nn.Module) -> nn.Module:
    """The layers by which a network is described and counted: its own, or those it came from."""
    return network.outline if is_onnx_network(network) else network


def stored_content(network: OnnxNetwork) -> bytes:
    """The content of its file.

    Raises:
        CompressionError: it has none yet.
    """
    if network.onnx_content is None:
        raise CompressionError("This int8 network has no file yet; only its structure.")
    return network.onnx_content


def onnx_session(source: str | bytes, *, threads: int = 1) -> "onnxruntime.InferenceSession":
    """The file at a path, or the content of one, to be run with `threads` threads in silence."""
    import onnxruntime  # only who runs a graph waits for it

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors only
    if _computes_in_float(source):  # then weights are made floating once, not for each batch
        options.add_session_config_entry("session.disable_quant_qdq", "1")
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def _computes_in_float(source: str | bytes) -> bool:
    """Whether a graph with rounded weights rounds no activation."""
    content = source if isinstance(source, bytes) else Path(source).read_bytes()
    return b"DequantizeLinear" in content and b"QuantizeLinear" not in content


def fixed_batch(session: "onnxruntime.InferenceSession") -> int | None:
    """The only number of images that a graph takes; None: it takes any."""
    batch = session.get_inputs()[0].shape[0]
    return batch if isinstance(batch, int) else None


def input_dtype(session: "onnxruntime.InferenceSession") -> str:
    """Of a graph's images in numpy's words, as `uint8`."""
    kind: str = session.get_inputs()[0].type  # tensor(float)
    name = kind.removeprefix("tensor(").removesuffix(")")
    return {"float": "float32", "double": "float64"}.get(name, name)


def run_session(session: "onnxruntime.InferenceSession", images: "np.ndarray") -> "np.ndarray":
    """The first output for N images; one after the other where the graph takes only one at a time.

    Args:
        session: of a graph with one input.
        images: N x C x H x W.

    Raises:
        CompressionError: the graph takes images of another shape.
    """
    import numpy as np

    name, (_, channels, *image_size) = session.get_inputs()[0].name, session.get_inputs()[0].shape
    check_shape(images.shape, channels=channels, image_size=image_size, what="An exported network")
    size = fixed_batch(session) or max(len(images), 1)
    parts = [images[start : start + size] for start in range(0, len(images), size)] or [images]
    return np.concatenate([session.run(None, {name: part})[0] for part in parts])
