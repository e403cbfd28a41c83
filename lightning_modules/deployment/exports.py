"""What an export format is, and those of this package by name; imports none of their libraries."""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

from compression.registry import Registry
from lightning_modules.errors import ConfigError
from lightning_modules.registry import require_extra

if TYPE_CHECKING:  # they load torch, which waits until the names are checked
    import numpy as np

    from lightning_modules.deployment.inference_model import InferenceModel
    from lightning_modules.deployment.model_metadata import ModelMetadata
    from lightning_modules.networks import Network


class Export(Protocol):
    """What a format of one's own has; nothing has to be derived from.

    It may also have:

    * `beside`: suffixes of further files that belong to one, of the same name.
    * `half_weights = True`: `write` takes `half=True` and stores 16-bit weights.
    * `write_int8(network, path, metadata, images)`: quantises on training images, uint8
      N x 3 x H x W.
    * `rounds_int8 = True`: what runs its files rounds an int8 network in its own way, so that a
      file is judged by macro-F1.
    * `runtime`: what a benchmark calls that which runs its files; else the format's name.
    * `require()`: refuses a format whose library is not installed.

    Attributes:
        suffix: of its files, such as `.onnx`.
    """

    suffix: str

    def write(self, network: "Network", path: Path, metadata: "ModelMetadata") -> None:
        """Writes a network in eval mode, uint8 N x 3 x H x W -> probabilities N x classes.

        Args:
            network: gives logits; `Probabilities(network)` is the module with the softmax.
            path: of the file, in a folder that only this export uses.
            metadata: to store in the file as text: `metadata.to_entries()`.
        """

    def open_file(self, path: Path, *, threads: int) -> "InferenceModel":
        """The classifier in a file of `write`; `ModelMetadata.from_entries` reads its metadata."""


@dataclass(frozen=True, kw_only=True)
class ModuleExport:
    """A format of this package: its code lies in a module that is imported when it is used.

    Attributes:
        module: has `write` and `open_file`.
        extra: of this project, and name of the package that it installs; None: always there.
        suffix, beside, half_weights, rounds_int8, runtime: see `Export`.
    """

    module: str
    suffix: str
    runtime: str
    extra: str | None = None
    beside: tuple[str, ...] = ()
    half_weights: bool = False
    rounds_int8: bool = False

    def require(self) -> None:
        """Refuses a format whose package is not installed."""
        if self.extra is not None:
            require_extra(self.extra, self.extra, what=self.extra)

    def write(self, network: "Network", path: Path, metadata: "ModelMetadata", **how: Any) -> None:
        """See `Export`; `half` where it stores half weights."""
        self.load().write(network, path, metadata, **how)

    def open_file(self, path: Path, *, threads: int) -> "InferenceModel":
        """See `Export`."""
        return self.load().open_file(path, threads=threads)

    def vet(self, path: Path) -> None:
        """Refuses what can be seen of a file without the library that runs it.

        Raises:
            ConfigError: it is no file of this format, or of another export.
        """
        if vet := getattr(self.load(), "vet", None):
            vet(path)

    def load(self) -> ModuleType:
        """Imports the code, and with it the library.

        Raises:
            ConfigError: its package is not installed.
        """
        self.require()
        return import_module(self.module)


class QuantizingExport(ModuleExport):
    """One whose module has `write_int8` too."""

    def write_int8(
        self, network: "Network", path: Path, metadata: "ModelMetadata", images: "np.ndarray"
    ) -> None:
        """See `Export`."""
        self.load().write_int8(network, path, metadata, images)


_HERE = "lightning_modules.deployment"
ONNX = ModuleExport(
    module=f"{_HERE}.onnx_file", suffix=".onnx", runtime="onnxruntime", half_weights=True
)
TORCH_EXPORT = ModuleExport(
    module=f"{_HERE}.torch_export_file", suffix=".pt2", runtime="torch_export"
)
OPENVINO = ModuleExport(
    module=f"{_HERE}.openvino_file",
    suffix=".xml",
    runtime="openvino",
    extra="openvino",
    beside=(".bin",),
    half_weights=True,
    rounds_int8=True,
)
EXECUTORCH = QuantizingExport(
    module=f"{_HERE}.executorch_file", suffix=".pte", runtime="executorch", extra="executorch"
)
EXPORTS = Registry(
    kind="export format",
    group="model_diet.exports",
    paths={
        "onnx": f"{_HERE}.exports:ONNX",
        "torch_export": f"{_HERE}.exports:TORCH_EXPORT",
        "openvino": f"{_HERE}.exports:OPENVINO",
        "executorch": f"{_HERE}.exports:EXECUTORCH",
    },
    methods=("suffix", "write", "open_file"),
    error=ConfigError,
)
