"""What a name leads to: parts of each kind by registered names, and code that a file may name.

Names are known as text, without importing what they stand for. A part of one's own is named by
`_target_`, or by the name under which its installed package offers it as an entry point. Imports
no pydantic of itself, so that `--help` may list names.
"""

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from compression.errors import CompressionError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema


@dataclass(frozen=True)
class Registry:
    """The parts of one kind.

    As an annotation (`Annotated[Any, IMPORTANCES]`) it declares a setting that is one of them: a
    name, a node with a `_target_`, or an object.

    Attributes:
        kind: one of them in words, such as `importance`.
        group: the entry points by which installed packages offer theirs.
        paths: `module:attribute` by name, of a class that is built without arguments, or of an
            object or function that is taken as it is.
        methods: which every part has.
        error: what a refusal raises.
    """

    kind: str
    group: str
    paths: Mapping[str, str]
    methods: tuple[str, ...] = ("__call__",)
    error: type[Exception] = CompressionError

    def __contains__(self, name: str) -> bool:
        """Whether this or an installed package offers a part of that name."""
        return name in self.paths or bool(self._offered(name))

    def validate(self, value: Any) -> Any:
        """The value, if it names a part or is one; nothing is imported.

        Raises:
            PydanticCustomError: no package offers a part of that name.
        """
        if isinstance(value, str) or value is None:
            if value is None or value not in self:
                from compression.schema import choice_error

                raise choice_error(self.paths, f", or {{_target_: ...}} of your own {self.kind}")
        elif isinstance(value, Mapping):
            if not isinstance(value.get("_target_"), str):
                raise ValueError(f"{{place}}={value} has no _target_, which names your class.")
        elif not self._fits(value):
            raise ValueError(self._unfit("{place}", value))
        return value

    def part(self, value: Any, key: str) -> Any:
        """The part that a setting names, or is.

        Args:
            value: a name, a node with a `_target_` and arguments, or a part.
            key: of the setting, for the sentence.

        Raises:
            CompressionError: or this registry's own error: it is no part of this kind, cannot be
                imported, or two packages offer one of that name.
        """
        if isinstance(value, str):
            found = self.load(value, key)
            value = found() if isinstance(found, type) else found
        elif isinstance(value, Mapping):
            value = self._built(value, key)
        if not self._fits(value):
            raise self.error(self._unfit(key, value))
        return value

    def load(self, name: str, key: str) -> Any:
        """What is registered under a name, not built.

        Raises:
            CompressionError: or this registry's own error.
        """
        offered = self._sole(name, key)
        if name in self.paths:
            return resolve_name(self.paths[name])
        if offered is None:
            from compression.schema import nearest

            raise self.error(
                f"{key}={name} does not exist{nearest(name, self.paths)}; there are "
                f"{', '.join(self.paths)}, or {{_target_: ...}} of your own {self.kind}."
            )
        try:
            return offered.load()
        except Exception as error:  # whatever the package's import raises
            raise self.error(
                f"{key}={name}: the {self.kind} that {_package(offered)} offers cannot be "
                f"imported: {' '.join(str(error).split())}."
            ) from error

    def path(self, name: str, key: str) -> str | None:
        """The dotted path of what is registered under a name; None where nobody offers it.

        Nothing is imported.

        Raises:
            CompressionError: or this registry's own error: two packages offer one of that name.
        """
        offered = self._sole(name, key)
        where = self.paths.get(name) or (f"{offered.module}:{offered.attr}" if offered else None)
        return where and where.replace(":", ".")

    def name_of(self, path: str) -> str | None:
        """The registered name of the class at a dotted `path`; None of all others."""
        dotted = {where.replace(":", "."): name for name, where in self.paths.items()}
        return dotted.get(path)

    def __get_pydantic_core_schema__(
        self, source: Any, handler: "GetCoreSchemaHandler"
    ) -> "CoreSchema":
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(self.validate)

    def __hash__(self) -> int:
        return hash(self.group)

    def _sole(self, name: str, key: str) -> "EntryPoint | None":
        """What an installed package offers under a name, if one does and nobody else."""
        offered = self._offered(name)
        if len(offered) + (name in self.paths) > 1:
            packages = [*(["model-diet"] if name in self.paths else []), *map(_package, offered)]
            raise self.error(
                f"{key}={name}: the {self.kind} {name} is offered by {' and '.join(packages)}; "
                "uninstall one, or name yours by {_target_: ...}."
            )
        return offered[0] if offered else None

    def _built(self, node: Mapping[str, Any], key: str) -> Any:
        target = node.get("_target_")
        if not isinstance(target, str):
            raise self.error(f"{key}={dict(node)} has no _target_, which names your class.")
        arguments = {name: value for name, value in node.items() if name != "_target_"}
        try:
            found = resolve_name(target)
            return found(**arguments) if isinstance(found, type) or arguments else found
        except CompressionError:
            raise
        except Exception as error:  # whatever the import, or the class, raises
            raise self.error(f"{key}: {target} cannot be built: {error}.") from error

    def _offered(self, name: str) -> "tuple[EntryPoint, ...]":
        return _entry_points(self.group).get(name, ())

    def _fits(self, value: Any) -> bool:
        return not isinstance(value, type) and all(hasattr(value, name) for name in self.methods)

    def _unfit(self, key: str, value: Any) -> str:
        kind = value if hasattr(value, "__qualname__") else type(value)
        missing = [name for name in self.methods if not hasattr(value, name)]
        why = f"has no {', '.join(missing)}" if missing else "is a class and not an object of one"
        return f"{key}: {kind.__module__}.{kind.__qualname__} is no {self.kind}: it {why}."


@functools.cache
def _entry_points(group: str) -> "dict[str, tuple[EntryPoint, ...]]":
    """What installed packages offer, by name; nothing of them is imported."""
    from importlib.metadata import EntryPoint, entry_points  # 20 ms

    found: dict[str, tuple[EntryPoint, ...]] = {}
    for point in entry_points(group=group):
        others = found.get(point.name, ())
        if all(_package(other) != _package(point) for other in others):  # found twice on the path
            found[point.name] = (*others, point)
    return found


def _package(point: "EntryPoint") -> str:
    return point.dist.name if point.dist is not None else point.value


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
    package = str(path).partition(".")[0]
    refusal = (
        f"{path!r} is refused: only code of {', '.join(packages)} is run when a network is loaded; "
        f"if you know {package}, add 'trust=[{package}]' to the command, or give "
        f'trust=["{package}"] in Python.'
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
