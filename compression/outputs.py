"""What a network gives: the logits among its outputs, and the auxiliary ones beside them.

Networks give a tensor, a tuple (of a main and auxiliary heads), a mapping (torchvision's
segmentation and detection), a named tuple (torchvision's Inception), or a data class of outputs
(transformers' `ModelOutput`).
"""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from torch import Tensor

from compression.errors import CompressionError

# What the logits are called, where outputs have names; in this order.
MAIN = ("logits", "out", "output", "outputs", "pred", "preds", "prediction", "predictions", "cls")


def main_output(output: Any) -> Tensor:
    """The logits: the tensor itself, what is named so, or the first tensor.

    Raises:
        CompressionError: there is no tensor in it.
    """
    if isinstance(output, Tensor):
        return output
    found = _main(output)
    if found is None:
        raise CompressionError(
            f"The network gives {_kind(output)} without a tensor; its forward must give logits "
            "N x classes, or a tuple, mapping or data class that has them."
        )
    return found


def auxiliary_outputs(output: Any) -> dict[str, Tensor]:
    """All other tensors of the shape of the logits, by name or position; none of a lone tensor."""
    if isinstance(output, Tensor):
        return {}
    main = main_output(output)
    found = _tensors(output, "")
    return {
        name: tensor
        for name, tensor in found.items()
        if tensor is not main and tensor.shape == main.shape
    }


def _main(output: Any) -> Tensor | None:
    if isinstance(output, Tensor):
        return output
    parts = _parts(output)
    named = [parts[name] for name in MAIN if name in parts]
    for part in (*named, *parts.values()):
        found = _main(part)
        if found is not None:
            return found
    return None


def _parts(output: Any) -> dict[str, Any]:
    """What an output is made of, by name or position."""
    if isinstance(output, Mapping):
        return {str(name): part for name, part in output.items()}
    if is_dataclass(output):
        return {field.name: getattr(output, field.name) for field in fields(output)}
    if isinstance(output, tuple | list):
        names = getattr(output, "_fields", range(len(output)))
        return {str(name): part for name, part in zip(names, output, strict=True)}
    return {}


def _tensors(output: Any, prefix: str) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for name, part in _parts(output).items():
        if isinstance(part, Tensor):
            found[f"{prefix}{name}"] = part
        else:
            found |= _tensors(part, f"{prefix}{name}.")
    return found


def _kind(output: Any) -> str:
    return "None" if output is None else f"{type(output).__name__}"
