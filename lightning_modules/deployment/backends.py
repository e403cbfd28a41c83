"""The ways to run a saved network on the CPU, to compare them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from compression.cost import file_bytes
from compression.onnx import is_onnx_network
from datamodules.decoding import ResizeMode
from lightning_modules.deployment.formats import FORMATS, RUNTIMES, format_of
from lightning_modules.deployment.inference_model import eager_model, metadata_of
from lightning_modules.errors import ConfigError
from lightning_modules.networks import Network

Call = Callable[[np.ndarray], np.ndarray]  # uint8 N x 3 x H x W -> probabilities N x classes


@dataclass(frozen=True)
class Runner:
    """A network in a backend.

    Attributes:
        call: from images to probabilities, any N.
        image_size: (height, width) in pixels of what it takes.
        file_bytes: of the file that the backend is given.
        file: where the backend needs another one than the saved network.
    """

    call: Call
    image_size: tuple[int, int]
    file_bytes: int
    file: Path | None = None


class Backend(Protocol):
    """Makes a network ready to run in one backend."""

    def __call__(
        self, network: Network, *, resize_mode: ResizeMode, threads: int, file: Path
    ) -> Runner: ...


def run_eagerly(network: Network, *, resize_mode: ResizeMode, threads: int, file: Path) -> Runner:
    """PyTorch, one operation after the other."""
    call = eager_model(network, name="eager", resize_mode=resize_mode).call
    return Runner(call, network.image_size, file_bytes(network))


def run_compiled(network: Network, *, resize_mode: ResizeMode, threads: int, file: Path) -> Runner:
    """PyTorch after `torch.compile`, for any batch; needs a C++ compiler."""
    if is_onnx_network(network):
        raise ConfigError(
            "An int8 network runs in onnxruntime and openvino; leave compile out of backends."
        )
    return Runner(compiled_call(network), network.image_size, file_bytes(network))


def run_exported(
    name: str, network: Network, *, resize_mode: ResizeMode, threads: int, file: Path
) -> Runner:
    """The file of `scripts/export.py` in what runs files of that format, such as onnx."""
    form = FORMATS[name]
    code, file = form.load(), file.with_suffix(form.suffix)
    code.write(network, file, metadata_of(network, resize_mode=resize_mode))
    return run_file(file, threads=threads)


def run_file(file: Path, *, threads: int) -> Runner:
    """An exported file.

    Raises:
        ConfigError: it cannot be run.
    """
    form = format_of(file)
    opened = form.load().open_file(file, threads=threads)
    size = sum(part.stat().st_size for part in form.files(file))
    return Runner(opened.call, opened.metadata.image_size, size, file)


def compiled_call(network: Network) -> Call:
    """A network after `torch.compile`, which compiles at the first call."""
    compiled = torch.compile(network, dynamic=True)

    @torch.inference_mode()
    def call(images: np.ndarray) -> np.ndarray:
        return compiled(torch.from_numpy(images)).float().softmax(dim=1).numpy()

    return call


BACKENDS: dict[str, Backend] = {
    "eager": run_eagerly,
    "compile": run_compiled,
    **{runtime: partial(run_exported, name) for runtime, name in RUNTIMES.items()},
}
