"""An ONNX file of a network: raw uint8 pixels in, logits out, any batch size."""

import copy
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from compression.errors import CompressionError
from compression.files import whole_file, write_bytes
from compression.images import RAW_PIXELS, ImageKind
from compression.onnx.library_output import suppress_output
from compression.onnx.network import is_onnx_network, onnx_session, stored_content

TOLERANCE = 1e-3  # largest difference of two logits, relative to the largest logit


def export_onnx(
    network: nn.Module,
    path: str | Path,
    image_size: int | Sequence[int],
    *,
    output: str = "logits",
    metadata: Mapping[str, str] | None = None,
    compare: bool = True,
    images: ImageKind = RAW_PIXELS,
) -> Path:
    """Write `network` to `path`, then compare its outputs in onnxruntime with PyTorch's.

    The file takes `images` (N x C x H x W, any N; uint8 in 0..255 by default) and gives `logits`
    (N x classes). The network is copied to the CPU; nothing is left at `path` if anything fails.

    Args:
        network: what is written.
        path: of the file.
        image_size: an int or [height, width] in pixels.
        output: what the file calls what the network gives.
        metadata: text entries of the file.
        compare: only a file that is timed and thrown away may go without.
        images: the kind that the network takes.

    Raises:
        CompressionError: the exporter cannot trace the network, ONNX lacks one of its operations
            (which is named), or the outputs differ.
    """
    path = Path(path)
    if is_onnx_network(network):  # of logits and without metadata
        return write_bytes(path, stored_content(network))
    batch = images.random(image_size, 2)  # a batch of 1 would be exported as a constant
    twin = copy.deepcopy(network).to("cpu").to(memory_format=torch.contiguous_format).eval()
    try:
        with whole_file(path) as part:
            _write(twin, part, batch, output)
            _annotate(part, metadata or {})
            if compare:
                _compare(twin, part, batch)
    except torch.onnx.OnnxExporterError as error:
        raise CompressionError(
            f"This network cannot be exported to ONNX: {_reason(error)}."
        ) from error
    return path


def _write(network: nn.Module, path: Path, images: Tensor, output: str) -> None:
    with suppress_output(stdout=True):
        torch.onnx.export(
            network,
            (images,),
            path,
            input_names=["images"],
            output_names=[output],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            dynamo=True,
            external_data=False,  # one file, weights inside
            verbose=False,
        )


def _annotate(path: Path, metadata: Mapping[str, str]) -> None:
    """Put in the metadata; take out what the exporter noted of each node.

    That is half of a small network's file, and tells where on this machine its code lies.
    """
    model = onnx.load(path)
    onnx.helper.set_model_props(model, dict(metadata))
    for node in model.graph.node:
        del node.metadata_props[:]
        node.ClearField("doc_string")
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        del value.metadata_props[:]
    onnx.save(model, path)


def _reason(error: BaseException) -> str:
    """The operation that ONNX lacks, or the root cause in a line."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = str(error).strip()
    if lacking := re.search(r"No ONNX function found for <OpOverload\(op='([\w.]+)'", text):
        return f"ONNX has no operation for {lacking[1]}"
    return (text or type(error).__name__).splitlines()[0].rstrip(".")


def _compare(network: nn.Module, path: Path, images: Tensor) -> None:
    session = onnx_session(str(path))
    for batch in (images, images[:1]):
        with torch.inference_mode():
            expected = network(batch).numpy()
        (found,) = session.run(None, {"images": batch.numpy()})
        difference = np.abs(found - expected).max()
        if not difference <= TOLERANCE * max(1.0, np.abs(expected).max()):
            raise CompressionError(
                f"The exported file gives other logits than the network (by {difference:.2g}); "
                f"it was not kept."
            )
