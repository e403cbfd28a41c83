"""Format `openvino`: an intermediate representation (IR), a graph (.xml) and its weights (.bin).

Both files are data: an IR names operations of OpenVINO's own sets, and one that it does not know is
refused; code comes into OpenVINO only by extensions, which are loaded by another call.
"""

import hashlib
import re
import tempfile
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import openvino
from openvino._offline_transformations import apply_moc_transformations

from lightning_modules.deployment import onnx_file
from lightning_modules.deployment.inference_model import InferenceModel
from lightning_modules.deployment.model_metadata import ModelMetadata
from lightning_modules.errors import ConfigError
from lightning_modules.networks import Network

HEADER = b'<?xml version="1.0"?>'
VERSION = "11"  # of the IR
WEIGHTS_KEY = "weights_sha256"


def write(network: Network, path: Path, metadata: ModelMetadata, *, half: bool = False) -> None:
    """Both files: `images` uint8 N x 3 x H x W -> `probabilities` float32 N x classes.

    An int8 network stays one: OpenVINO reads the quantisers of its ONNX graph.

    Args:
        network: float or int8.
        path: of the .xml.
        metadata: of the network.
        half: store the weights of a float network in 16 bits.

    Raises:
        ConfigError, CompressionError: ONNX or OpenVINO lacks an operation, which is named; or
            `half` of an int8 network.
    """
    if half:
        onnx_file.require_float(network)
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder) / "network.onnx"
        metadata = onnx_file.write_graph(network, graph, metadata, with_entries=False)
        try:
            model = openvino.Core().read_model(graph)
        except RuntimeError as error:
            raise ConfigError(
                f"This network cannot be exported to OpenVINO: {_reason(error)}"
            ) from error
    # What openvino.convert_model does too, but for reporting its use: half of the .xml goes.
    apply_moc_transformations(model, cf=True)
    for key, text in metadata.to_entries().items():
        model.set_rt_info(text, [key])
    openvino.save_model(model, path, compress_to_fp16=half)
    weights = path.with_suffix(".bin")
    model.set_rt_info(hashlib.sha256(weights.read_bytes()).hexdigest(), [WEIGHTS_KEY])
    openvino.save_model(model, path, compress_to_fp16=half)


def open_file(path: Path, *, threads: int) -> InferenceModel:
    """Files of `write`, run by OpenVINO on the CPU in float32, where they are not in int8.

    Raises:
        ConfigError: they are no such files, or the .bin is of another export.
    """
    metadata, weights = vet(path), path.with_suffix(".bin")
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "INFERENCE_PRECISION_HINT": "f32",  # else some processors calculate in bfloat16
    }
    try:
        core = openvino.Core()
        compiled = core.compile_model(core.read_model(path, weights), "CPU", settings)
    except RuntimeError as error:
        raise ConfigError(f"{path} cannot be run by OpenVINO: {_reason(error)}") from error
    request = compiled.create_infer_request()

    def call(images: np.ndarray) -> np.ndarray:
        request.infer({"images": images}, share_inputs=True)
        return request.get_tensor("probabilities").data.copy()

    return InferenceModel(str(path), metadata, call)


def vet(path: Path) -> ModelMetadata:
    """What both files say of themselves, read without OpenVINO.

    Raises:
        ConfigError: they are no such files, or the .bin is of another export.
    """
    entries = read_metadata(path)
    metadata = ModelMetadata.from_entries(entries, file=str(path))
    weights = path.with_suffix(".bin")
    if not weights.is_file():
        raise ConfigError(f"{path} holds no weights; put {weights.name} of the same export by it.")
    if hashlib.sha256(weights.read_bytes()).hexdigest() != entries.get(WEIGHTS_KEY):
        raise ConfigError(f"{weights} does not belong to {path.name}: it is of another export.")
    return metadata


def read_metadata(path: Path) -> dict[str, str]:
    """The text entries of an IR.

    Raises:
        ConfigError: the file is no IR of this version.
    """
    content = path.read_bytes()
    try:
        if not content.startswith(HEADER) or b"<!" in content:
            raise ElementTree.ParseError("it does not begin as one, or defines entities")
        root = ElementTree.fromstring(content)
    except (ElementTree.ParseError, ValueError) as error:
        raise ConfigError(f"{path} is no OpenVINO network: {error}.") from error
    if root.tag != "net" or root.get("version") != VERSION:
        raise ConfigError(f"{path} is no OpenVINO network of version {VERSION}.")
    entries = root.find("rt_info")
    return {} if entries is None else {e.tag: e.get("value", "") for e in entries}


def _reason(error: Exception) -> str:
    """The operations that OpenVINO lacks, or what it says, in a line."""
    if lacking := re.search(r"No conversion rule found for operations: (.+)", str(error)):
        return f"OpenVINO has no operation for {lacking[1].strip()}."
    if failed := re.search(r"Conversion is failed for: (.+)", str(error)):
        return f"OpenVINO cannot take the operations {failed[1].strip()}."
    lines = [" ".join(line.split()) for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[-1][:300]
