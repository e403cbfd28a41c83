"""The formats that a network can be exported to; imports none of their libraries."""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType

from lightning_modules.errors import ConfigError
from lightning_modules.registry import require_extra


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        name: as it is written on a command line.
        suffix: of its files.
        beside: suffixes of further files that belong to one, of the same name.
        quantizes: whether it has `write_int8(network, path, metadata, images)` too.
        half_weights: whether its `write` takes `half` too.
        module: has `write(network, path, metadata)` and `open_file(path, threads)`.
        package: that it needs, and that is not always there.
        extra: of this project, which installs that package.
    """

    name: str
    suffix: str
    module: str
    package: str | None = None
    extra: str | None = None
    beside: tuple[str, ...] = ()
    quantizes: bool = False
    half_weights: bool = False

    def files(self, path: Path) -> list[Path]:
        """All files that the one at `path` consists of; that one last."""
        return [*(path.with_suffix(suffix) for suffix in self.beside), path]

    def load(self) -> ModuleType:
        """The code of the format.

        Raises:
            ConfigError: its package is not installed; the sentence has the command.
        """
        self.require()
        return import_module(self.module)

    def require(self) -> None:
        """Refuses a format whose package is not installed."""
        if self.package is not None and self.extra is not None:
            require_extra(self.extra, self.package, what=self.name)


_HERE = "lightning_modules.deployment"
FORMATS = {
    entry.name: entry
    for entry in (
        Format("onnx", ".onnx", f"{_HERE}.onnx_file", half_weights=True),
        Format("torch_export", ".pt2", f"{_HERE}.torch_export_file"),
        Format(
            "openvino",
            ".xml",
            f"{_HERE}.openvino_file",
            package="openvino",
            extra="openvino",
            beside=(".bin",),
            half_weights=True,
        ),
        Format(
            "executorch",
            ".pte",
            f"{_HERE}.executorch_file",
            package="executorch",
            extra="executorch",
            quantizes=True,
        ),
    )
}
# What runs a file of which format, by the name that a benchmark gives it.
RUNTIMES = {"onnxruntime": "onnx", "openvino": "openvino", "executorch": "executorch"}


def format_named(name: str) -> Format:
    """The format of that name.

    Raises:
        ConfigError: there is none, or its package is missing.
    """
    if name not in FORMATS:
        raise ConfigError(f"There is no format={name}; there are {', '.join(FORMATS)}.")
    FORMATS[name].require()
    return FORMATS[name]


def format_of(path: Path) -> Format:
    """The format of a file, by its suffix.

    Raises:
        ConfigError: no format has it, or its package is missing.
    """
    for entry in FORMATS.values():
        if entry.suffix == path.suffix.lower():
            entry.require()
            return entry
    known = ", ".join(entry.suffix for entry in FORMATS.values())
    raise ConfigError(
        f"{path} is neither a run directory nor an exported file ({known}); nothing else is read, "
        "for it might run code: export the run with scripts/export.py."
    )
