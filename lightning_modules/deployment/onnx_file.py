"""Format `onnx`: one file for onnxruntime and all that reads ONNX."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from compression.onnx import (
    compare_file,
    fixed_batch,
    is_onnx_network,
    onnx_session,
    stored_content,
    write_onnx,
)
from lightning_modules.deployment.inference_model import InferenceModel, Probabilities, tell_batch
from lightning_modules.deployment.model_metadata import ModelMetadata, with_max_batch
from lightning_modules.errors import ConfigError
from lightning_modules.networks import Network

MIN_HALVED = 64  # elements of a tensor: for fewer, the cast takes more bytes than it saves


def write(network: Network, path: Path, metadata: ModelMetadata, *, half: bool = False) -> None:
    """The file: `images` uint8 N x 3 x H x W -> `probabilities` float32 N x classes.

    Args:
        network: float or int8.
        path: of the file.
        metadata: of the network.
        half: store the weights of a float network in 16 bits.

    Raises:
        CompressionError: ONNX lacks an operation of the network, which is named.
        ConfigError: `half` of an int8 network.
    """
    if half:
        require_float(network)
    write_graph(network, path, metadata)
    if half:
        model = onnx.load(path)
        halve(model)
        onnx.save(model, path)


def write_graph(
    network: Network, path: Path, metadata: ModelMetadata, *, with_entries: bool = True
) -> ModelMetadata:
    """The same in 32 bits, float or int8; what is known of the file then.

    A network whose forward fixes the number of images is written for one at a time, and that is
    printed.

    Args:
        network, path, metadata: see `write`.
        with_entries: put the metadata in.
    """

    def entries(batch: int | None) -> dict[str, str]:
        return with_max_batch(metadata, batch).to_entries() if with_entries else {}

    if is_onnx_network(network):
        content = stored_content(network)
        batch = fixed_batch(onnx_session(content))
        write_with_softmax(content, path, entries(batch))
    else:
        batch = tell_batch(
            write_onnx(
                Probabilities(network),
                path,
                metadata.image_size,
                output="probabilities",
                metadata=entries,
                check=compare_file,
            )
        )
    return with_max_batch(metadata, batch)


def write_with_softmax(content: bytes, path: Path, entries: dict[str, str]) -> None:
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
    onnx.helper.set_model_props(model, entries)
    onnx.save(model, path)


def open_file(path: Path, *, threads: int) -> InferenceModel:
    """A file of `write`, run by onnxruntime on the CPU.

    Raises:
        ConfigError: it is no such file.
    """
    try:
        session = onnx_session(str(path), threads=threads)
    except Exception as error:  # onnxruntime's own have no common base
        reason = " ".join(str(error).split())
        raise ConfigError(f"{path} cannot be run by onnxruntime: {reason[:200]}.") from error
    metadata = ModelMetadata.from_entries(
        session.get_modelmeta().custom_metadata_map, file=str(path)
    )

    def call(images: np.ndarray) -> np.ndarray:
        return session.run(["probabilities"], {"images": images})[0]

    return InferenceModel(str(path), metadata, call)


def require_float(network: Network) -> None:
    """Refuses a network whose weights are smaller already.

    Raises:
        ConfigError: it is an int8 network.
    """
    if is_onnx_network(network):
        raise ConfigError("weights=half is for float networks; the weights of this one are int8.")


def halve(model: onnx.ModelProto) -> None:
    """Stores the float32 tensors of a graph as float16, in place: half the file.

    Each is cast back to 32 bits where it is used, so that the graph calculates as before and runs
    wherever the whole one runs; onnxruntime and OpenVINO do the casts once, when they load it.
    Tensors of few elements stay, and those with values that float16 does not reach (above 65504).
    """
    casts = []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if tensor.data_type != TensorProto.FLOAT or values.size < MIN_HALVED:
            continue
        if np.abs(values).max() > np.finfo(np.float16).max:
            continue
        name, small = tensor.name, f"{tensor.name}.half"
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), small))
        casts.append(helper.make_node("Cast", [small], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
