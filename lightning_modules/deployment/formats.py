"""The format that a name or a file means; imports no library of any format."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from lightning_modules.deployment.exports import EXPORTS
from lightning_modules.errors import ConfigError

if TYPE_CHECKING:  # they load torch, which waits until the names are checked
    import numpy as np

    from lightning_modules.deployment.inference_model import InferenceModel
    from lightning_modules.deployment.model_metadata import ModelMetadata
    from lightning_modules.networks import Network


@dataclass(frozen=True)
class Format:
    """A format as it was named, with what it does not say of itself.

    Attributes:
        value: its name, or a node with a `_target_`.
        part: what writes and opens its files.
    """

    value: str | Mapping[str, Any]
    part: Any

    @property
    def name(self) -> str:
        """As sentences and reports call it."""
        return self.value if isinstance(self.value, str) else str(self.value["_target_"])

    @property
    def suffix(self) -> str:
        """Of its files."""
        return self.part.suffix

    @property
    def half_weights(self) -> bool:
        """Whether it can store weights in 16 bits."""
        return getattr(self.part, "half_weights", False)

    @property
    def quantizes(self) -> bool:
        """Whether it makes an int8 file of a float network."""
        return hasattr(self.part, "write_int8")

    @property
    def rounds_int8(self) -> bool:
        """Whether its int8 files calculate otherwise than the int8 network."""
        return getattr(self.part, "rounds_int8", False)

    @property
    def runtime(self) -> str:
        """What runs its files."""
        return getattr(self.part, "runtime", self.name)

    def files(self, path: Path) -> list[Path]:
        """All files that the one at `path` consists of; that one last."""
        beside = getattr(self.part, "beside", ())
        return [*(path.with_suffix(suffix) for suffix in beside), path]

    def require(self) -> None:
        """Refuses a format whose package is not installed.

        Raises:
            ConfigError: with the command that installs it.
        """
        if hasattr(self.part, "require"):
            self.part.require()

    def write(self, network: "Network", path: Path, metadata: "ModelMetadata", **how: Any) -> None:
        """Writes all files of a network; `half=True`: with weights in 16 bits.

        Raises:
            ConfigError: the network cannot be exported, or one of the files is missing.
        """
        self.part.write(network, path, metadata, **how)
        self._require_written(path)

    def write_int8(
        self, network: "Network", path: Path, metadata: "ModelMetadata", images: "np.ndarray"
    ) -> None:
        """Writes all files of a network that is quantised on images, uint8 N x 3 x H x W.

        Raises:
            ConfigError: see `write`.
        """
        self.part.write_int8(network, path, metadata, images)
        self._require_written(path)

    def open_file(self, path: Path, *, threads: int) -> "InferenceModel":
        """The classifier in a file.

        Raises:
            ConfigError: it is no such file, or the format gives no classifier.
        """
        from lightning_modules.deployment.inference_model import InferenceModel

        found = self.part.open_file(path, threads=threads)
        if not isinstance(found, InferenceModel):
            raise ConfigError(
                f"format={self.name} opened {path.name} as {type(found).__name__}; its open_file "
                "must give a lightning_modules.deployment.InferenceModel."
            )
        return found

    def _require_written(self, path: Path) -> None:
        for file in self.files(path):
            if not file.is_file():
                raise ConfigError(f"format={self.name} did not write {file.name}.")

    def fits(self, path: Path) -> bool:
        """Whether a file has this format's suffix."""
        return path.suffix.lower() == self.suffix.lower()


def format_named(value: str | Mapping[str, Any], key: str = "format") -> Format:
    """The format that a name, or a node with a `_target_`, means.

    Args:
        value: that was typed.
        key: that it was typed for.

    Raises:
        ConfigError: there is none, or its package is missing.
    """
    form = Format(value, EXPORTS.part(value, key))
    if not (isinstance(form.suffix, str) and re.fullmatch(r"\.\w+", form.suffix)):
        raise ConfigError(
            f"{key}: {form.name} has suffix={form.suffix!r}, which must be one, as '.onnx'."
        )
    form.require()
    return form


def known_formats() -> list[Format]:
    """Those of this package; whether their libraries are there is not asked."""
    return [Format(name, resolve_name(path)) for name, path in EXPORTS.paths.items()]


def format_of(path: Path, named: Format | None = None) -> Format:
    """The format of a file, by its suffix.

    Args:
        path: of the file.
        named: a format that the user named, for files of its suffix.

    Raises:
        ConfigError: no format has it, or its package is missing.
    """
    known = known_formats()
    for form in [*([named] if named else []), *known]:
        if form.fits(path):
            form.require()
            return form
    suffixes = ", ".join(form.suffix for form in known)
    raise ConfigError(
        f"{path} is neither a run directory nor an exported file ({suffixes}); nothing else is "
        "read, for it might run code: export the run with scripts/export.py, or name a format of "
        "your own for it: format=NAME or format={_target_: ...}."
    )


def require_used(named: Format | None, paths: Iterable[Path]) -> None:
    """Refuses a format that was named and that none of the files has.

    Raises:
        ConfigError: with the suffix that its files have.
    """
    if named is not None and not any(named.fits(path) for path in paths):
        raise ConfigError(
            f"format={named.name} is for files that end with {named.suffix}; none was named."
        )
