"""An int8 network: an ONNX file that answers, and an outline that is counted."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from compression.cost import meta_copy
from compression.errors import CompressionError
from compression.onnx import input_dtype, onnx_session, run_session, stored_content

if TYPE_CHECKING:
    import onnxruntime


class Int8Network(nn.Module):
    """Evaluates only: the ONNX file `onnx_content` maps images N x C x H x W to logits N x classes.

    Its MACs and parameters are those of the float network that it came from, of which it keeps the
    structure on the meta device, without weights; attributes that it lacks are that network's.

    Args:
        network: the float network; stays as it is.
        onnx_content: of the ONNX file, where it is known already.
    """

    def __init__(self, network: nn.Module, onnx_content: bytes | None = None) -> None:
        super().__init__()
        self.outline = meta_copy(network)
        self.onnx_content = onnx_content
        self._session: tuple[int, onnxruntime.InferenceSession] | None = None  # by threads
        super().train(False)

    def forward(self, images: Tensor) -> Tensor:
        """Images N x C x H x W -> logits N x classes, on the CPU.

        They are of the type that the file takes, such as uint8, or numbers that fit into it.

        Raises:
            CompressionError: the images have another size than those that it was quantised on.
        """
        if images.is_meta:
            return self.outline(images)
        session = self._ready()
        dtype: torch.dtype = getattr(torch, input_dtype(session))
        pixels = images.detach().cpu().to(dtype).contiguous().numpy()
        return torch.from_numpy(run_session(session, pixels))

    def train(self, mode: bool = True) -> "Int8Network":
        """Refuses to train.

        Raises:
            CompressionError: always when `mode` is true.
        """
        if mode:
            raise CompressionError(
                "An int8 network cannot be trained: quantisation is the last step, with epochs: 0."
            )
        return super().train(False)

    def _ready(self) -> "onnxruntime.InferenceSession":
        """The session, with as many threads as PyTorch has now."""
        threads = torch.get_num_threads()
        if self._session is None or self._session[0] != threads:
            self._session = threads, onnx_session(stored_content(self), threads=threads)
        return self._session[1]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Int8Network":
        """Moving or converting it changes nothing: there are no weights here."""
        return self

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name.startswith("_") or name == "outline":
                raise
            return getattr(self.outline, name)

    def __getstate__(self) -> dict[str, Any]:
        # A session can be neither copied nor sent to another process; it is made anew.
        return {**self.__dict__, "_session": None}
