"""Whether a network can be exported to ONNX, found out by exporting it."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from compression.errors import CompressionError
from compression.images import RAW_PIXELS, ImageKind
from compression.network_copy import copy_network
from compression.onnx.export import run_file, write_onnx
from compression.onnx.network import (
    fixed_batch,
    is_onnx_network,
    onnx_session,
    stored_content,
)

_known: dict[object, "Exportability"] = {}  # in this process, by structure


@dataclass(frozen=True)
class Exportability:
    """What becomes of a network in an ONNX file.

    Attributes:
        batch: `free`: the file takes any number of images; `fixed`: one at a time; `none`: there is
            no file.
        reason: a sentence that says why it is not free; empty where it is.
    """

    batch: Literal["free", "fixed", "none"]
    reason: str = ""


def try_export(
    network: nn.Module, image_size: int | Sequence[int], *, images: ImageKind = RAW_PIXELS
) -> Exportability:
    """Exports a copy, runs it once in onnxruntime, and throws the file away: a few seconds.

    What comes out is a matter of structure, so that networks of one structure are tried once in a
    process; weights that are on the meta device are made up.

    Args:
        network: stays as it is; on any device.
        image_size: an int or [height, width] in pixels.
        images: the kind that the network takes.
    """
    if is_onnx_network(network):
        return _of_graph(stored_content(network))
    key = _structure(network), str(image_size), images
    if key not in _known:
        try:
            _known[key] = _tried(_with_values(network), image_size, images)
        except CompressionError as error:
            _known[key] = Exportability("none", str(error))
    return _known[key]


def _tried(network: nn.Module, image_size: int | Sequence[int], images: ImageKind) -> Exportability:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        traced = write_onnx(
            network, path, image_size, check=lambda *file: [*run_file(*file)], images=images
        )
    if traced.batch is None:
        return Exportability("free")
    return Exportability("fixed", f"Its file takes one image at a time: {traced.reason}.")


def _of_graph(content: bytes) -> Exportability:
    if fixed_batch(onnx_session(content)) is None:
        return Exportability("free")
    return Exportability("fixed", "Its int8 graph takes one image at a time.")


def _structure(network: nn.Module) -> object:
    shapes = tuple(tensor.shape for tensor in network.state_dict().values())
    return repr(network), shapes, tuple(map(type, network.modules()))


def _with_values(network: nn.Module) -> nn.Module:
    """The network, or a copy with random weights where it has none."""
    tensors = (*network.parameters(), *network.buffers())
    if not any(tensor.is_meta for tensor in tensors):
        return network
    twin = copy_network(network).to_empty(device="cpu")
    with torch.no_grad():
        for tensor in (*twin.parameters(), *twin.buffers()):
            tensor.uniform_(0.01, 0.1) if tensor.is_floating_point() else tensor.zero_()
    return twin
