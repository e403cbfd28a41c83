"""A network as a graph of PyTorch's own operators, which every export begins with."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.fx.experimental import _config

from compression.errors import CompressionError
from compression.evaluation_mode import spelled_out_attention
from compression.network_copy import forget_stored
from compression.onnx.exportable_functions import ExportableFunctions
from compression.onnx.failure import code_line, failure, first_line, reads_values
from compression.onnx.library_output import suppress_output
from compression.outputs import main_output

# (strict, oblivious): to run `forward`, without conclusions from the number of images in the
# example, then with them; at last to read its code, which leaves `len(x)` free.
FREE = ((False, True), (False, False), (True, True))
FIXED = ((False, False), (True, False))


class TracingError(CompressionError):
    """A network has no graph; the text is a clause that says why."""


@dataclass(frozen=True)
class Traced:
    """A network with its graph.

    Attributes:
        network: that was traced; gives a tensor.
        program: its graph.
        images: that it was traced with, N x C x H x W.
        batch: the only number of images that the graph takes; None: it takes any.
        reason: why the number is fixed, a clause; empty where it is not.
    """

    network: nn.Module
    program: ExportedProgram
    images: Tensor
    batch: int | None = None
    reason: str = ""


def trace(network: nn.Module, images: Tensor, *, max_batch: int | None = None) -> Traced:
    """The graph of a network for any number of images, else for one at a time.

    What it is traced for, training too, is a matter of whether gradients are enabled.

    Args:
        network: in eval mode on the CPU; of several outputs the main one is taken.
        images: N x C x H x W, N at least 2: one image would be taken for a constant.
        max_batch: the largest number of images; None: any.

    Raises:
        TracingError: it cannot be traced, takes no such images, or draws random numbers.
    """
    with suppress_output(stdout=True, errors=True):
        batch = ({0: Dim("batch", min=1, max=max_batch)},)
        try:
            network = _with_tensor_output(network, images)
            program = _program(network, images, batch)
        except TracingError as error:
            return trace_one(network, images, reason=str(error))
    return _deterministic(Traced(network, program, images))


def trace_one(network: nn.Module, images: Tensor, *, reason: str) -> Traced:
    """The graph of a network for one image at a time.

    Args:
        network: see `trace`.
        images: of which the first is taken.
        reason: why it takes no other number, a clause.

    Raises:
        TracingError: see `trace`.
    """
    one = images[:1].contiguous()
    with suppress_output(stdout=True, errors=True):
        network = _with_tensor_output(network, one)
        return _deterministic(Traced(network, _program(network, one, None), one, 1, reason))


class MainOutput(nn.Module):
    """A network of several outputs as one that gives its logits."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """N x C x H x W -> N x classes."""
        return main_output(self.network(images))


def _with_tensor_output(network: nn.Module, images: Tensor) -> nn.Module:
    try:
        with torch.no_grad():
            output = network(images)
    except Exception as error:  # whatever the network's own code raises
        raise TracingError(
            f"it cannot take {images.dtype} images of {tuple(images.shape)}: {first_line(error)}"
        ) from error
    return network if isinstance(output, Tensor) else MainOutput(network).eval()


def _program(network: nn.Module, images: Tensor, shapes: object) -> ExportedProgram:
    """By the first attempt that succeeds."""
    reasons: list[TracingError] = []
    for strict, oblivious in FREE if shapes else FIXED:
        forget_stored(network)  # a pass before may have stored values, or an attempt fake ones
        try:
            with (
                ExportableFunctions(),
                _config.patch(backed_size_oblivious=oblivious),  # type: ignore[attr-defined]
                spelled_out_attention(),
            ):
                return torch.export.export(network, (images,), dynamic_shapes=shapes, strict=strict)
        except Exception as error:  # the tracer raises what the network's own code meets
            reason = TracingError(failure(error))
            reason.__cause__ = error
            reasons.append(reason)
            if reads_values(error):
                break
    raise reasons[-1] if shapes else reasons[0]  # reading the code gives the line


def _deterministic(traced: Traced) -> Traced:
    if drawn := _random_operation(traced.program):
        raise TracingError(f"it draws random numbers in eval mode by {drawn}")
    return traced


def _random_operation(program: ExportedProgram) -> str | None:
    """An operation of a graph that gives something else each time, with the network's line."""
    for node in program.graph.nodes:
        if torch.Tag.nondeterministic_seeded not in getattr(node.target, "tags", ()):
            continue
        schema = node.target._schema.arguments
        given = {a.name: a.default_value for a in schema}
        given |= dict(zip([a.name for a in schema], node.args, strict=False)) | dict(node.kwargs)
        if any(not given.get(name, True) for name in ("train", "training", "p", "dropout_p")):
            continue
        operation = str(node.target).rsplit(".", 1)[0]
        return f"{operation}{code_line(node.meta.get('stack_trace') or '')}"
    return None
