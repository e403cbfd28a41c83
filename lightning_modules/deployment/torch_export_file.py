"""Format `torch_export`: a graph of PyTorch's own operators (.pt2), for programs with torch."""

import copy
import io
import json
from pathlib import Path

import numpy as np
import torch

from compression.images import RAW_PIXELS
from compression.onnx import TracingError, is_onnx_network, suppress_output, trace
from lightning_modules.deployment.inference_model import InferenceModel, Probabilities, tell_batch
from lightning_modules.deployment.model_metadata import ModelMetadata, with_max_batch
from lightning_modules.deployment.vetting import PT2_METADATA, pt2_metadata, vet_pt2
from lightning_modules.errors import ConfigError
from lightning_modules.networks import Network


def write(network: Network, path: Path, metadata: ModelMetadata) -> None:
    """The file: uint8 N x 3 x H x W -> probabilities float32 N x classes.

    Raises:
        ConfigError: the network cannot be traced, or needs what the format lacks.
    """
    if is_onnx_network(network):
        raise ConfigError("An int8 network is an ONNX graph already: export it with format=onnx.")
    twin = copy.deepcopy(network).cpu().to(memory_format=torch.contiguous_format)
    module = Probabilities(twin).eval().requires_grad_(False)
    try:
        with torch.no_grad():
            traced = trace(module, RAW_PIXELS.random(metadata.image_size, 2))
    except TracingError as error:
        raise ConfigError(f"This network cannot be exported by torch.export: {error}.") from error
    metadata, program = with_max_batch(metadata, tell_batch(traced)), traced.program
    program._guards_code = []  # Python, which no reader of ours would run
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # where this code lies is nobody's business
    content = io.BytesIO()  # where a disk is full, torch's writer of files aborts the process
    extra = {PT2_METADATA: json.dumps(metadata.to_entries())}
    torch.export.save(program, content, extra_files=extra)
    path.write_bytes(content.getbuffer())


def open_file(path: Path, *, threads: int) -> InferenceModel:
    """A file of `write`, run by PyTorch on the CPU.

    Args:
        path: of the file; it is read only after `vet_pt2` found nothing in it that would run code.
        threads: of PyTorch, for the whole process.

    Raises:
        ConfigError: it is no such file, or holds more than a network.
    """
    vet_pt2(path)
    metadata = ModelMetadata.from_entries(pt2_metadata(path), file=str(path))
    with suppress_output():
        # The guards are Python text; a vetted file has none.
        module = torch.export.load(path).module(check_guards=False)
    torch.set_num_threads(threads)

    @torch.inference_mode()
    def call(images: np.ndarray) -> np.ndarray:
        return module(torch.from_numpy(images)).numpy()

    return InferenceModel(str(path), metadata, call)
