"""Which code a file may name: only what is defined inside packages that the caller trusts."""

from collections.abc import Iterable
from importlib import import_module
from typing import Any

from compression.errors import CompressionError


def inside(path: str, packages: Iterable[str]) -> bool:
    """Whether the dotted `path` is one of `packages` or lies below one."""
    return any(path == package or path.startswith(package + ".") for package in packages)


def locate(path: str, packages: Iterable[str]) -> Any:
    """The class or function at a dotted `path`, which must be *defined* inside `packages`.

    A prefix alone proves nothing: `compression.some_module.os.system` starts well and ends badly.

    Raises:
        CompressionError: `path` leads outside `packages`, or nowhere.
    """
    packages = list(packages)
    refusal = (
        f"{path!r} is refused: only code of {', '.join(packages)} is run when a network is loaded; "
        f"name its package in trust=[...] if you know it."
    )
    if not isinstance(path, str) or not inside(path, packages):
        raise CompressionError(refusal)
    module_path, _, name = path.rpartition(".")
    try:
        found = getattr(import_module(module_path), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise CompressionError(f"{path!r} does not exist here: {error}.") from error
    if not inside(getattr(found, "__module__", None) or "", packages):
        raise CompressionError(refusal)
    return found
