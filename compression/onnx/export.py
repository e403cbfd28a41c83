"""An ONNX file of a network: raw pixels in, logits out; any batch size where the network can."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from compression.errors import CompressionError
from compression.files import whole_file, write_bytes
from compression.images import RAW_PIXELS, ImageKind
from compression.network_copy import copy_network
from compression.onnx.failure import code_line, describe_chain, first_line, root_cause
from compression.onnx.library_output import suppress_output
from compression.onnx.network import is_onnx_network, onnx_session, run_session, stored_content
from compression.onnx.tracing import Traced, TracingError, trace, trace_one

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

    The file takes `images` (N x C x H x W, uint8 in 0..255 by default; any N where the network
    lets itself be exported so, else one) and gives `logits` (N x classes). The network is copied
    to the CPU; nothing is left at `path` if anything fails.

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
    write_onnx(
        network,
        path,
        image_size,
        output=output,
        metadata=lambda _: metadata or {},
        check=compare_file if compare else None,
        images=images,
    )
    return path


def write_onnx(
    network: nn.Module,
    path: Path,
    image_size: int | Sequence[int],
    *,
    output: str = "logits",
    metadata: Callable[[int | None], Mapping[str, str]] = lambda _: {},
    check: Callable[[Traced, Path], object] | None = None,
    images: ImageKind = RAW_PIXELS,
) -> Traced:
    """Write a file that takes any number of images, else one that takes one at a time.

    Args:
        network, path, image_size, output, images: see `export_onnx`.
        metadata: text entries for the only number of images that the file takes; None: any.
        check: of the file; raises a CompressionError where it is not right.

    Raises:
        CompressionError: there is no file in either way.
    """
    twin = copy_network(network).to("cpu").to(memory_format=torch.contiguous_format).eval()
    examples = images.random(image_size, 2)  # a batch of 1 would be exported as a constant

    def write(traced: Traced) -> Traced:
        with whole_file(path) as part:
            try:
                _write(traced.program, part, output)
            except torch.onnx.OnnxExporterError as error:
                raise TracingError(_reason(error)) from error
            _annotate(part, metadata(traced.batch))
            if check is not None:
                check(traced, part)
        return traced

    try:
        with torch.no_grad():
            traced = trace(twin, examples)
            try:
                return write(traced)
            except CompressionError as error:
                if traced.batch is not None:
                    raise
                try:
                    return write(trace_one(twin, examples, reason=str(error)))
                except CompressionError:
                    raise error from None
    except TracingError as error:
        raise CompressionError(f"This network cannot be exported to ONNX: {error}.") from error


def _write(program: ExportedProgram, path: Path, output: str) -> None:
    with suppress_output(stdout=True):
        torch.onnx.export(
            program,
            f=path,
            input_names=["images"],
            output_names=[output],
            dynamo=True,
            external_data=False,  # one file, weights inside
            verbose=False,
        )


def _annotate(path: Path, metadata: Mapping[str, str]) -> None:
    """Put in the metadata, call the free batch so; take out what the exporter noted of each node.

    That is half of a small network's file, and tells where on this machine its code lies.
    """
    model = onnx.load(path)
    onnx.helper.set_model_props(model, dict(metadata))
    for node in model.graph.node:
        del node.metadata_props[:]
        node.ClearField("doc_string")
    symbol = model.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        del value.metadata_props[:]
        for dim in value.type.tensor_type.shape.dim if symbol else ():
            if dim.dim_param:
                dim.dim_param = re.sub(rf"\b{symbol}\b", "batch", dim.dim_param)
    onnx.save(model, path)


def _reason(error: BaseException) -> str:
    """The operation that ONNX lacks, or the root cause in a line, with the network's line."""
    told, root = describe_chain(error), root_cause(error)
    if lacking := re.search(r"No ONNX function found for <OpOverload\(op='([\w.]+)'", told):
        why = f"ONNX has no operation for {lacking[1]}"
    elif failed := re.search(r"\[target=torch\.ops\.(aten\.\w+)", told):
        symbolic = "Unsupported attribute type" in str(root)
        why = "a setting is made of the number of images" if symbolic else first_line(root)
        why = f"{failed[1]}: {why}"
    else:
        why = first_line(root)
    return why + code_line(told)


def compare_file(traced: Traced, path: Path) -> None:
    """Refuses a file that gives other logits than its network.

    Raises:
        CompressionError: says by how much; or that onnxruntime cannot run it.
    """
    for images, found in run_file(traced, path):
        with torch.inference_mode():
            expected = traced.network(images).numpy()
        difference = np.abs(found - expected).max()
        if not difference <= TOLERANCE * max(1.0, np.abs(expected).max()):
            raise CompressionError(
                f"The exported file gives other logits than the network (by {difference:.2g}); "
                f"it was not kept."
            )


def run_file(traced: Traced, path: Path) -> Iterator[tuple[Tensor, np.ndarray]]:
    """The images that a network was traced with and what its file gives; the first one alone too.

    Raises:
        TracingError: onnxruntime cannot run the file, and says what it lacks.
    """
    try:
        session = onnx_session(str(path))
        for images in (traced.images, traced.images[:1]):
            yield images, run_session(session, images.numpy())
    except CompressionError:
        raise
    except Exception as error:  # onnxruntime's own have no common base
        raise TracingError(f"onnxruntime: {first_line(error)[:300]}") from error
