"""Words of a command line, `a.b=value`, and the keys of plain configurations that they name."""

from collections.abc import Mapping
from typing import Any

from datamodules.typed_words import bash_word as bash_word
from datamodules.typed_words import command as command
from datamodules.typed_words import quote as quote
from datamodules.typed_words import typed_word as typed_word


def key_of(argument: str) -> str:
    """`a.b` of `+a.b=value`; empty for anything that is no override."""
    return argument.split("=", 1)[0].lstrip("+~") if "=" in argument else ""


def leaves(
    node: Mapping[str, Any], prefix: tuple[str, ...] = ()
) -> list[tuple[tuple[str, ...], Any]]:
    """All (key parts, value) pairs of a nested dict whose values are no dicts themselves."""
    found: list[tuple[tuple[str, ...], Any]] = []
    for key, value in node.items():
        nested = isinstance(value, dict) and value
        found += leaves(value, (*prefix, key)) if nested else [((*prefix, key), value)]
    return found


def select(config: Mapping[str, Any], key: str | tuple[str, ...]) -> Any:
    """The value of a key, dotted or in parts, or None where there is no such key."""
    node: Any = config
    for part in key.split(".") if isinstance(key, str) else key:
        node = node.get(part) if isinstance(node, dict) else None
    return node


def removed(plain: dict[str, Any], saved: dict[str, Any]) -> list[tuple[str, ...]]:
    """Keys of `plain`, such as a block, that `saved` does not have; Hydra cannot remove a null."""
    found: list[tuple[str, ...]]
    found = [(key,) for key, value in plain.items() if key not in saved and value is not None]
    for key, value in plain.items():
        if isinstance(value, dict) and isinstance(saved.get(key), dict):
            found += [(key, *rest) for rest in removed(value, saved[key])]
    return found
