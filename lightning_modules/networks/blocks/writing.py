"""A network of blocks, written back as rows."""

from typing import Any

import torch
from torch import nn

from lightning_modules.errors import ConfigError
from lightning_modules.networks.blocks.network import BlockNetwork, RowBlocks
from lightning_modules.networks.blocks.rows import Row


def to_rows(network: nn.Module) -> list[Any] | dict[str, Any]:
    """Rows `[repeat, kind, [arguments]]` that parse, at multiples of 1, to the same structure.

    Args:
        network: a `BlockNetwork`, or a `Network` around one.

    Returns:
        A list; or a dict by name, where the blocks have names of their own.

    Raises:
        ConfigError: it was not built from rows, or has been changed since.
    """
    body = getattr(network, "body", network)
    if not isinstance(body, BlockNetwork):
        raise ConfigError(f"{type(body).__name__} is no network of blocks; it has no rows.")
    rows = [module.row for module in body.blocks if isinstance(module, RowBlocks)]
    written = {row.name: _written(row) for row in rows}
    if not written or _shapes(body) != _shapes_of(written, body.num_classes):
        raise ConfigError("The network was changed since it was built; rows cannot describe it.")
    plain = all(row.name == f"b{row.number}" for row in rows)
    return list(written.values()) if plain else written


def _written(row: Row) -> list[Any] | dict[str, Any]:
    if row.block_type.path is None:
        return [row.repeat, row.block_type.name, _positional(row)]
    return {"repeat": row.repeat, **row.block_type.node(), **row.arguments}


def _positional(row: Row) -> list[Any]:
    """The arguments up to the last that was given."""
    names = list(row.block_type.parameters)
    count = max((names.index(name) + 1 for name in row.arguments), default=0)
    defaults = {name: row.block_type.parameters[name].default for name in names}
    return [row.arguments.get(name, defaults[name]) for name in names[:count]]


def _shapes_of(rows: dict[str, Any], num_classes: int) -> dict[str, torch.Size]:
    with torch.device("meta"):
        return _shapes(BlockNetwork(num_classes=num_classes, blocks=rows))


def _shapes(body: BlockNetwork) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in body.state_dict().items()}
