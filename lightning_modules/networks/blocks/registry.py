"""The kinds that a row may name, and what each of them takes."""

import functools
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from pkgutil import resolve_name
from typing import Any

from torch import nn

from lightning_modules.errors import ConfigError

# What flows between rows: N x C x H x W, N x C x 1 x 1, or N x C.
MAP, POINT, FLAT = "map", "point", "flat"

TYPES = "lightning_modules.networks.blocks.types"  # the package of our own
_BLOCK_TYPES: dict[str, "BlockType"] = {}


@dataclass(frozen=True)
class BlockType:
    """A kind of row.

    Attributes:
        name: in a row.
        path: of a kind from outside this package, the dotted path that rows name instead.
        make: `make(in_channels, **arguments)`, a module with the attribute `out_channels`.
        parameters: the arguments in their order.
        scaled: arguments that the width multiple acts on.
        stride: which of several repeats has the stride, `first` or `last`; `all`: every one.
        takes: what may come in.
        gives: what goes out; None: the same as came in.
    """

    name: str
    make: Callable[..., nn.Module]
    parameters: Mapping[str, inspect.Parameter]
    scaled: tuple[str, ...]
    stride: str
    takes: tuple[str, ...]
    gives: str | None
    path: str | None = None

    def node(self) -> dict[str, str]:
        """How a row names it."""
        return {"kind": self.name} if self.path is None else {"_target_": self.path}

    def usage(self) -> str:
        """The arguments as in `out, k, s=1, pad=null`."""
        return ", ".join(map(_usage, self.parameters.values())) or "no arguments"


def block(
    *,
    scaled: tuple[str, ...] = (),
    stride: str = "all",
    takes: tuple[str, ...] = (MAP, POINT),
    gives: str | None = None,
) -> Callable[[type[nn.Module]], type[nn.Module]]:
    """Class decorator: the class's name becomes a kind; a row names one from outside by its path.

    Its `__init__` takes `in_channels` and then, as keywords, the arguments of a row in their order.
    Their annotations are checked: int (at least 1; `pad` at least 0), float (above 0; `p` at least
    0), bool (0 or 1 will do), str, or one of these with None.
    """

    def register(cls: type[nn.Module]) -> type[nn.Module]:
        _, _, *parameters = inspect.signature(cls.__init__).parameters.values()
        named = {parameter.name: parameter for parameter in parameters}
        own = cls.__module__.startswith(f"{TYPES}.")
        path = None if own else f"{cls.__module__}.{cls.__qualname__}"
        kind = BlockType(cls.__name__, cls, named, scaled, stride, takes, gives, path)
        if own:
            _BLOCK_TYPES[cls.__name__] = kind
        else:
            _BLOCK_TYPES.setdefault(cls.__name__, kind)  # takes no name of ours
        cls.block_type = kind  # type: ignore[attr-defined]
        return cls

    return register


def find_block_type(name: Any) -> BlockType:
    """The kind called `name`.

    Raises:
        ConfigError: there is none; the nearest names are said.
    """
    kinds = _all_block_types()
    if not isinstance(name, str) or name not in kinds:
        raise ConfigError(f"there is no kind {name!r}; {nearest(name, kinds)}")
    return kinds[name]


def block_type_at(path: Any) -> BlockType:
    """The kind that the class at a dotted path is.

    Raises:
        ConfigError: there is no such class, or it is no kind.
    """
    try:
        found = resolve_name(str(path))
    except Exception as error:  # whatever the import raises
        raise ConfigError(f"{path} cannot be imported: {error}.") from error
    kind = vars(found).get("block_type") if isinstance(found, type) else None
    if not isinstance(kind, BlockType):
        raise ConfigError(
            f"{path} is no kind of row; give its class the decorator "
            "lightning_modules.networks.blocks.registry.block."
        )
    return kind


def read_kind(row: Mapping[str, Any]) -> BlockType:
    """The kind that a row's `kind` or `_target_` names.

    Raises:
        ConfigError: it names none, both, or one that there is not.
    """
    if "_target_" in row and "kind" in row:
        raise ConfigError("a row has a kind or a _target_, not both; leave one out with ~KEY.")
    if "_target_" in row:
        return block_type_at(row["_target_"])
    if "kind" not in row:
        raise ConfigError("the row has no kind.")
    return find_block_type(row["kind"])


def nearest(name: Any, known: Mapping[str, Any]) -> str:
    """Ends a sentence: the nearest of the known names, or all of them."""
    by_lower = {key.lower(): key for key in known}
    near = get_close_matches(str(name).lower(), by_lower, n=3)
    if near:
        return f"did you mean {' or '.join(by_lower[key] for key in near)}?"
    return f"there are {', '.join(known)}."


@functools.cache
def _all_block_types() -> dict[str, BlockType]:
    package = import_module(TYPES)
    for module in pkgutil.iter_modules(package.__path__):
        import_module(f"{package.__name__}.{module.name}")
    return _BLOCK_TYPES


def _usage(parameter: inspect.Parameter) -> str:
    if parameter.default is parameter.empty:
        return parameter.name
    default = parameter.default
    if default is None or isinstance(default, bool):
        default = {None: "null", True: "true", False: "false"}[default]
    return f"{parameter.name}={default}"
