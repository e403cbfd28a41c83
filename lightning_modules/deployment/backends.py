"""The ways to run a saved network on the CPU, to compare them; imports no torch of itself."""

import copy
import functools
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from compression.errors import CompressionError
from compression.registry import Registry
from lightning_modules.deployment import exports
from lightning_modules.deployment.formats import Format, format_named
from lightning_modules.errors import ConfigError

if TYPE_CHECKING:  # they load torch, which waits until the names are checked
    import numpy as np
    from torch import nn

    from compression.latency import MakePass
    from datamodules.decoding import ResizeMode
    from lightning_modules.networks import Network

# uint8 N x 3 x H x W -> probabilities N x classes
Call = Callable[["np.ndarray"], "np.ndarray"]


@dataclass(frozen=True)
class Runner:
    """A network in a backend.

    Attributes:
        call: from images to probabilities, any N.
        file_bytes: of the file that the backend is given; None: the saved network.
        file: that the backend wrote and opened with its own `open_file`; None: none. Writing it is
            not counted as memory that the backend takes.
    """

    call: Call
    file_bytes: int | None = None
    file: Path | None = None


class Backend(Protocol):
    """Makes a network ready to run: a function, or an object that is called.

    It may also have `require()`, which refuses a backend whose library is not installed, and, where
    it gives a `Runner.file`, `open_file(path, threads=...)`, which gives what runs that file.
    """

    def __call__(
        self, network: "Network", *, resize_mode: "ResizeMode", threads: int, file: Path
    ) -> Runner:
        """The network in this backend.

        Args:
            network: uint8 N x 3 x H x W -> logits N x classes, in eval mode on the CPU.
            resize_mode: what happens to images of another aspect ratio, for a file's metadata.
            threads: that the backend may use.
            file: a path without a suffix where it may write.
        """


def run_eagerly(
    network: "Network", *, resize_mode: "ResizeMode", threads: int, file: Path
) -> Runner:
    """PyTorch, one operation after the other."""
    from lightning_modules.deployment.inference_model import eager_model

    return Runner(eager_model(network, name="eager", resize_mode=resize_mode).call)


def run_compiled(
    network: "Network", *, resize_mode: "ResizeMode", threads: int, file: Path
) -> Runner:
    """PyTorch after `torch.compile`, for any batch; needs a C++ compiler."""
    from compression.onnx import is_onnx_network

    if is_onnx_network(network):
        raise ConfigError(
            "An int8 network runs in onnxruntime and openvino; leave compile out of backends."
        )
    return Runner(compiled_call(network))


def compiled_call(network: "Network") -> Call:
    """A network after `torch.compile`, which compiles at the first call."""
    import torch

    compiled = torch.compile(network, dynamic=True)

    @torch.inference_mode()
    def call(images: "np.ndarray") -> "np.ndarray":
        return compiled(torch.from_numpy(images)).float().softmax(dim=1).numpy()

    return call


class ExportedBackend:
    """What runs the files of an export format.

    Args:
        format: its name, a node with a `_target_`, or the format.
    """

    def __init__(self, format: str | Mapping[str, Any] | Format) -> None:
        self.format = format

    @functools.cached_property
    def form(self) -> Format:
        """The format, whose library must be installed."""
        return self.format if isinstance(self.format, Format) else format_named(self.format)

    def require(self) -> None:
        """Refuses a format whose library is not installed."""
        self.form.require()

    def __call__(
        self, network: "Network", *, resize_mode: "ResizeMode", threads: int, file: Path
    ) -> Runner:
        """The file of `scripts/export.py`, opened."""
        from lightning_modules.deployment.inference_model import metadata_of

        form = self.form
        path = file.with_suffix(form.suffix)
        form.write(network, path, metadata_of(network, resize_mode=resize_mode))
        size = sum(part.stat().st_size for part in form.files(path))
        return Runner(self.open_file(path, threads=threads), size, path)

    def open_file(self, path: Path, *, threads: int) -> Call:
        """What runs a file that is there."""
        return self.form.open_file(path, threads=threads)


ONNXRUNTIME = ExportedBackend(Format("onnx", exports.ONNX))
OPENVINO = ExportedBackend(Format("openvino", exports.OPENVINO))
EXECUTORCH = ExportedBackend(Format("executorch", exports.EXECUTORCH))

TIMED = ("onnxruntime", "eager")  # by `compression.latency`
_HERE = "lightning_modules.deployment.backends"
BACKENDS = Registry(
    kind="backend",
    group="model_diet.backends",
    paths={
        "eager": f"{_HERE}:run_eagerly",
        "compile": f"{_HERE}:run_compiled",
        "onnxruntime": f"{_HERE}:ONNXRUNTIME",
        "openvino": f"{_HERE}:OPENVINO",
        "executorch": f"{_HERE}:EXECUTORCH",
    },
    error=ConfigError,
)


def backend_named(value: str | Mapping[str, Any], key: str = "backends") -> Backend:
    """The backend that a name, or a node with a `_target_`, means.

    Args:
        value: that was typed.
        key: that it was typed for.

    Raises:
        ConfigError: there is none, or its library is missing.
    """
    backend = BACKENDS.part(value, key)
    if hasattr(backend, "require"):
        backend.require()
    return backend


def name_of(value: str | Mapping[str, Any]) -> str:
    """What tables call a backend."""
    return value if isinstance(value, str) else str(value["_target_"])


def check_latency(backend: Any) -> None:
    """Refuses a `latency.backend` that is none, before torch is imported by a run.

    Raises:
        ConfigError: there is no such backend, or its library is missing.
    """
    if backend is not None and backend not in TIMED:
        backend_named(backend, "latency.backend")


def latency_backend(value: Any) -> "str | MakePass":
    """What `measure_latency` takes for a `latency.backend` that was checked.

    The two that `compression` times itself stay names; of null, where nothing is timed, the first.
    """
    if value is None or value in TIMED:
        return value or TIMED[0]
    backend = backend_named(value, "latency.backend")

    def make(network: "nn.Module", images: "np.ndarray", threads: int) -> Callable[[], object]:
        twin: Any = copy.deepcopy(network).cpu().eval()
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "network"
            try:
                call = backend(twin, resize_mode="stretch", threads=threads, file=file).call
            except ConfigError as error:  # measured in eager mode then, and said
                raise CompressionError(str(error)) from error
            call(images)  # what is read late is read now
        return functools.partial(call, images)

    make.__name__ = name_of(value)
    return make
