"""Rows as a user writes them, read and checked one by one."""

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from lightning_modules.errors import ConfigError
from lightning_modules.networks.blocks.registry import BlockType, read_kind
from lightning_modules.schema import is_number, is_whole

NUM_CLASSES = "num_classes"  # in the place of an int: as many as the data has classes

Blocks = Sequence[Any] | Mapping[str, Any]


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        number: from 1.
        name: `b` and the number, or the key in a dict of blocks.
        repeat: at least 1.
        block_type: what the row's kind means.
        arguments: those given, in the kind's order; the others have the kind's defaults.
    """

    number: int
    name: str
    repeat: int
    block_type: BlockType
    arguments: dict[str, Any]

    def __str__(self) -> str:
        return f"row {self.number} ({self.name}, {self.block_type.name})"


def read_rows(blocks: Blocks) -> list[Row]:
    """Rows of a list, or of a dict whose keys name them; the order is that of writing.

    A row is `[repeat, kind, [arguments]]` or `{repeat:, kind:, argument: value, ...}`; a kind from
    outside this package stands as `_target_:` in the place of `kind:`. `None`, as Python writes
    null, is null.

    Raises:
        ConfigError: says which row is wrong, and what of it.
    """
    if isinstance(blocks, str) or not isinstance(blocks, Mapping | Sequence):
        raise ConfigError(f"model.blocks is a list or a dict of rows, not {blocks!r}.")
    if not blocks:
        raise ConfigError("model.blocks is empty; a network needs at least one row.")
    if not isinstance(blocks, Mapping):
        blocks = {f"b{number}": row for number, row in enumerate(blocks, start=1)}
    return [_read(number, str(name), row) for number, (name, row) in enumerate(blocks.items(), 1)]


def _read(number: int, name: str, row: Any) -> Row:
    where = f"row {number} ({name})"
    if not name.isidentifier():
        raise ConfigError(f"{where}: the name of a block has letters, digits and _ only.")
    repeat, named, given = _parts(where, row)
    try:
        kind = read_kind(named)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    where = f"row {number} ({name}, {kind.name})"
    if not is_whole(repeat):
        raise ConfigError(f"{where}: repeat is a whole number of at least 1, not {_said(repeat)}.")
    if not isinstance(given, Mapping):
        given = _named(where, kind, given)
    given = {key: None if value == "None" else value for key, value in given.items()}
    _check_names(where, kind, given)
    for key, value in given.items():
        _check_value(where, kind.parameters[key], value)
    ordered = {key: given[key] for key in kind.parameters if key in given}
    return Row(number, name, repeat, kind, ordered)


def _parts(where: str, row: Any) -> tuple[Any, dict[str, Any], Any]:
    """Repeat, what names the kind, and arguments (a list or a dict)."""
    if isinstance(row, Mapping):
        given = {str(key): value for key, value in row.items()}
        named: dict[str, Any] = {
            key: given.pop(key) for key in ("kind", "_target_") if key in given
        }
        return given.pop("repeat", 1), named, given
    shaped = isinstance(row, Sequence) and not isinstance(row, str) and len(row) == 3
    if not shaped or isinstance(row[2], str) or not isinstance(row[2], Sequence):
        raise ConfigError(
            f"{where}: a row is [repeat, kind, [arguments]] or {{repeat:, kind:, ...}}."
        )
    return row[0], {"kind": row[1]}, row[2]


def _named(where: str, kind: BlockType, given: Sequence[Any]) -> dict[str, Any]:
    if len(given) > len(kind.parameters):
        raise ConfigError(
            f"{where}: {len(given)} arguments are too many, argument {len(kind.parameters) + 1} "
            f"({_said(given[len(kind.parameters)])}) has no meaning; it takes {kind.usage()}."
        )
    return dict(zip(kind.parameters, given, strict=False))


def _check_names(where: str, kind: BlockType, given: Mapping[str, Any]) -> None:
    for name in given:
        if name not in kind.parameters:
            raise ConfigError(f"{where}: there is no argument {name}; it takes {kind.usage()}.")
    for position, (name, parameter) in enumerate(kind.parameters.items(), start=1):
        if name not in given and parameter.default is inspect.Parameter.empty:
            raise ConfigError(
                f"{where}: too few arguments, argument {position} ({name}) is missing; it takes "
                f"{kind.usage()}."
            )


def _check_value(where: str, parameter: inspect.Parameter, value: Any) -> None:
    types = get_args(parameter.annotation) or (parameter.annotation,)
    least = 0 if parameter.name in ("pad", "p") else 1
    fits = {
        type(None): value is None,
        int: is_whole(value, least) or value == NUM_CLASSES,
        bool: isinstance(value, bool) or (is_number(value) and value in (0, 1)),
        float: is_number(value) and (0 < value < math.inf or value == least),
        str: isinstance(value, str),
    }
    if not any(fits[one] for one in types):
        wanted = {
            type(None): "null",
            int: f"a whole number of at least {least}",
            bool: "0 or 1",
            float: f"a number {'of at least' if least == 0 else 'above'} 0",
            str: "a name",
        }
        raise ConfigError(
            f"{where}: {parameter.name} is {' or '.join(wanted[one] for one in types)}, "
            f"not {_said(value)}."
        )


def _said(value: Any) -> str:
    """A value in a sentence; a row that holds itself would have no end."""
    return "a nested list" if isinstance(value, Mapping | list | tuple) else repr(value)
