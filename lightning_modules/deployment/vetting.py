"""Looks into an exported file before the library that runs it does, and might run what is in it."""

import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import torch

from compression.onnx import suppress_output
from lightning_modules.errors import ConfigError

if TYPE_CHECKING:
    from executorch.exir.schema import Program

PT2_METADATA = "model_diet.json"
# Members below the archive's own folder that are read as plain data.
PLAIN = re.compile(
    r"archive_format|archive_version|byteorder|\.data/\w+|extra/[\w.]+"
    r"|models/model\.json|data/sample_inputs/model\.pt"
    r"|data/(weights|constants)/(model_\w+_config\.json|weight_\d+|tensor_\d+)"
)
OPERATORS = re.compile(r"torch\.ops\.aten\.\w+\.\w+|_operator\.(add|sub|mul|floordiv|mod|getitem)")
SYMBOL = re.compile(r"Symbol\('\w+'(, (positive|integer|nonnegative)=True)*\)")
# Sums and products as SymPy writes them; no powers, which may take for ever.
FUNCTION = re.compile(r"\b(Add|Mul|Integer|FloorDiv|CleanDiv|Mod|PythonMod|Max|Min)\(")
ARITHMETIC = re.compile(r"(?!.*\*\*)[\d\s+\-*/(),]*")  # what is left of a shape without symbols

CONTAINERS = {"builtins.tuple", "builtins.list", "builtins.dict"}

PTE_METADATA = "model_diet"  # the method that gives the metadata
PTE_IDENTIFIER = b"ET12"  # of the FlatBuffer, at byte 4
DELEGATE = "XnnpackBackend"


def vet_pt2(path: Path) -> None:
    """Refuses a .pt2 file that holds more than tensors and a graph of PyTorch's own operators.

    `torch.export.load` unpickles tensors that are marked so, loads compiled libraries, evaluates
    shape expressions and guards as Python, and looks operators up by any dotted name. A network
    exported by this package needs none of that, so a file that does is refused.

    Raises:
        ConfigError: says what is in it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            members = {_inner(name): name for name in names}
            if len(members) != len(names) or len({PurePosixPath(n).parts[0] for n in names}) != 1:
                _refuse(path, "members of one name")
            for inner in members:
                if not PLAIN.fullmatch(inner):
                    _refuse(path, f"a member {inner!r}")
            for inner, name in members.items():
                if inner.endswith("_config.json"):
                    _vet_tensors(path, json.loads(archive.read(name)))
            _vet_graph(path, json.loads(archive.read(members["models/model.json"])))
            sample = archive.read(members["data/sample_inputs/model.pt"])
        torch.load(io.BytesIO(sample), weights_only=True)  # else PyTorch would try without
    except ConfigError:
        raise
    except Exception as error:  # damage shows as an exception of any kind
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> ConfigError:
    reason = " ".join((str(error) or type(error).__name__).split())[:120]
    return ConfigError(f"{path} cannot be read as an exported network: {reason}.")


def pt2_metadata(path: Path) -> dict[str, str]:
    """The text entries that this package put into a vetted file; empty where there are none.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if _inner(name) == f"extra/{PT2_METADATA}":
                    return json.loads(archive.read(name))
    except Exception as error:  # damage shows as an exception of any kind
        raise _unreadable(path, error) from error
    return {}


def _inner(name: str) -> str:
    """A member's name without the archive's own folder."""
    return PurePosixPath(*PurePosixPath(name).parts[1:]).as_posix()


def _vet_tensors(path: Path, config: dict[str, Any]) -> None:
    for name, entry in config["config"].items():
        if entry["use_pickle"] or not re.fullmatch(r"(weight|tensor)_\d+", entry["path_name"]):
            _refuse(path, f"the pickled object {name!r}")


def _vet_graph(path: Path, program: dict[str, Any]) -> None:
    if program.get("guards_code"):
        _refuse(path, "guards in Python")
    for key, text in _texts(program):
        if key in ("target", "as_operator") and not OPERATORS.fullmatch(text):
            _refuse(path, f"the operator {text!r}")
        if key == "expr_str" and not ARITHMETIC.fullmatch(FUNCTION.sub("(", SYMBOL.sub("1", text))):
            _refuse(path, f"the shape {text!r}")
        if key in ("in_spec", "out_spec") and not CONTAINERS.issuperset(_types(text)):
            _refuse(path, f"the containers {text!r}")


def _texts(node: Any) -> Iterator[tuple[str, str]]:
    """All (key, text) pairs below a node of JSON."""
    if isinstance(node, dict):
        for key, value in node.items():
            if isinstance(value, str):
                yield key, value
            yield from _texts(value)
    elif isinstance(node, list):
        for value in node:
            yield from _texts(value)


def _types(spec: str) -> set[str]:
    """The types that a description of nested containers names."""
    return {text for key, text in _texts(json.loads(spec)) if key != "context"}


def _refuse(path: Path, what: str) -> None:
    raise ConfigError(
        f"{path} holds {what}, which an exported network does not need and which might run code; "
        "it was not loaded: export the run again with scripts/export.py."
    )


def vet_pte(path: Path, content: bytes) -> "Program":
    """The program of a .pte file, refused where it is none or wants another delegate.

    A .pte is a FlatBuffer: instructions, each the call of a kernel that the runtime has compiled
    in, tensors, and blobs for delegates. Neither names a library or holds code of Python; but a
    delegate of other makers may take a blob with compiled kernels, so only XNNPACK's, a graph and
    weights, is let through.

    Args:
        path: for sentences.
        content: of the file.

    Raises:
        ConfigError: says what is wrong.
    """
    if content[4:8] != PTE_IDENTIFIER:
        raise ConfigError(f"{path} is no ExecuTorch program of this version (ET12).")
    with suppress_output(stderr=True):
        from executorch.exir._serialize import _deserialize_pte_binary
    try:
        program = _deserialize_pte_binary(content).program
        wanted = {delegate.id for plan in program.execution_plan for delegate in plan.delegates}
    except Exception as error:  # damage shows as an exception of any kind
        reason = " ".join((str(error) or type(error).__name__).split())[:120]
        raise ConfigError(f"{path} cannot be read as an ExecuTorch program: {reason}.") from error
    if foreign := sorted(wanted - {DELEGATE}):
        raise ConfigError(
            f"{path} wants the delegate {foreign[0]}, whose data might be code; it was not loaded: "
            "export the run again with scripts/export.py."
        )
    return program


def pte_operators(program: "Program") -> set[str]:
    """The kernels that a program calls outside of its delegates, such as `aten::avg_pool2d.out`."""
    called = [operator for plan in program.execution_plan for operator in plan.operators]
    return {".".join(filter(None, (entry.name, entry.overload))) for entry in called}


def pte_metadata(program: "Program") -> str:
    """What the method `model_diet` gives, read without running it; empty where there is none."""
    from executorch.exir.schema import String

    for plan in program.execution_plan:
        if plan.name == PTE_METADATA and plan.values and isinstance(plan.values[0].val, String):
            return plan.values[0].val.string_val
    return ""
