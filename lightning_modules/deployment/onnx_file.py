"""Format `onnx`: one file for onnxruntime and all that reads ONNX."""

from pathlib import Path

import numpy as np
import onnx

from compression.onnx.export import export_onnx
from compression.onnx.session import onnx_session
from compression.quantization.int8_network import Int8Network
from lightning_modules.deployment.half_weights import halve, require_float
from lightning_modules.deployment.inference_model import Shipped
from lightning_modules.deployment.model_metadata import Facts
from lightning_modules.deployment.probabilities import Probabilities
from lightning_modules.errors import ConfigError
from lightning_modules.networks import Network


def write(network: Network, path: Path, facts: Facts, *, half: bool = False) -> None:
    """The file: `images` uint8 N x 3 x H x W -> `probabilities` float32 N x classes.

    Args:
        network: float or int8.
        path: of the file.
        facts: of the network.
        half: store the weights of a float network in 16 bits.

    Raises:
        CompressionError: ONNX lacks an operation of the network, which is named.
        ConfigError: `half` of an int8 network.
    """
    if half:
        require_float(network)
    write_graph(network, path, facts.image_size, facts.to_metadata())
    if half:
        model = onnx.load(path)
        halve(model)
        onnx.save(model, path)


def write_graph(
    network: Network, path: Path, image_size: tuple[int, int], metadata: dict[str, str]
) -> None:
    """The same with other metadata, float or int8."""
    if isinstance(network, Int8Network):
        write_with_softmax(network.content, path, metadata)
        return
    export_onnx(Probabilities(network), path, image_size, output="probabilities", metadata=metadata)


def write_with_softmax(content: bytes, path: Path, metadata: dict[str, str]) -> None:
    """An ONNX file of logits, with the softmax behind them and with metadata."""
    model = onnx.load_from_string(content)
    (output,) = model.graph.output
    node = onnx.helper.make_node("Softmax", [output.name], ["probabilities"], axis=1)
    model.graph.node.append(node)
    probabilities = onnx.ValueInfoProto()
    probabilities.CopyFrom(output)
    probabilities.name = "probabilities"
    del model.graph.output[:]
    model.graph.output.append(probabilities)
    onnx.helper.set_model_props(model, metadata)
    onnx.save(model, path)


def open_file(path: Path, *, threads: int) -> Shipped:
    """A file of `write`, run by onnxruntime on the CPU.

    Raises:
        ConfigError: it is no such file.
    """
    try:
        session = onnx_session(str(path), threads=threads)
    except Exception as error:  # onnxruntime's own have no common base
        reason = " ".join(str(error).split())
        raise ConfigError(f"{path} cannot be run by onnxruntime: {reason[:200]}.") from error
    facts = Facts.of_metadata(session.get_modelmeta().custom_metadata_map, file=str(path))

    def call(images: np.ndarray) -> np.ndarray:
        return session.run(["probabilities"], {"images": images})[0]

    return Shipped(str(path), facts, call)
