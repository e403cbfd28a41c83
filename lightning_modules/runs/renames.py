"""Configuration keys, values and options that were renamed, followed to their present names.

The table is `aliases.yaml`. Stored configurations are read through it without a word; what a person
types is told as well (`config.former_words`).
"""

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from lightning_modules.registry import current_targets, table
from lightning_modules.runs.overrides import select

Key = tuple[str, ...]  # the parts of a dotted key
ClassOf = Callable[[Key], str | None]  # the class that a node is made of, by its bare name


@dataclass(frozen=True)
class Rename:
    """A key and the one that took its place.

    Attributes:
        old: its parts; `*` stands for a name that somebody chose, `*(Prune)` for that of a node
            whose `_target_` is a class `Prune`.
        new: the parts now; each `*` is what it was.
        values: former words for its values, and today's.
        only: the values, as they are typed, with which it is that key; None: all. With others it
            is another key, which kept the name.
    """

    old: Key
    new: Key
    values: Mapping[str, Any] = field(default_factory=dict)
    only: frozenset[str] | None = None

    def follow(self, key: Key, class_of: ClassOf) -> Key | None:
        """Today's form of this key, or of one below it; None for others."""
        if len(key) < len(self.old):
            return None
        chosen = []
        for place, (pattern, part) in enumerate(zip(self.old, key, strict=False), start=1):
            if pattern[0] != "*":
                if pattern != part:
                    return None
                continue
            if pattern != "*" and pattern[2:-1] != class_of(key[:place]):
                return None
            chosen.append(part)
        names = iter(chosen)
        return (*(next(names) if part == "*" else part for part in self.new), *key[len(self.old) :])

    def holds(self, value: Any) -> bool:
        """Whether a key with this value, or with those of an expression, is the renamed one."""
        if self.only is None:
            return True
        words = _words(value)
        return bool(words) and words <= self.only


@functools.cache
def renames() -> tuple[Rename, ...]:
    """The `keys` and `values` of the table, in its order."""
    found = [Rename(_parts(old), _parts(new)) for old, new in table()["keys"].items()]
    for old, moved in table()["keys_of_values"].items():
        only = frozenset(moved["values"])
        found.append(Rename(_parts(old), _parts(moved["key"]), only=only))
    for key, values in table()["values"].items():
        plain = tuple("*" if part[0] == "*" else part for part in _parts(key))
        found.append(Rename(_parts(key), plain, values))
    return tuple(found)


def _parts(key: str) -> Key:
    return tuple(key.split("."))


def current_key(key: Key, class_of: ClassOf, value: Any = "") -> tuple[Key, dict[str, Any]]:
    """Today's parts of a key, and the former words among its values.

    Args:
        key: its parts.
        class_of: the class of a node.
        value: of the key, or an expression of several, as it is typed or plain.
    """
    values: dict[str, Any] = {}
    for rename in renames():
        follows = rename.follow(key, class_of)
        if follows is not None and rename.holds(value):
            key = follows
            values |= rename.values if len(key) == len(rename.new) else {}
    return key, values


def _words(value: Any) -> set[str]:
    """The values that an expression names: one, or several as `choice(a,b)` or `a,b`."""
    if value is None:
        return {"null"}
    return set(re.findall(r"[\w./-]+|[\[{]", str(value))) - {"choice"}


def current_option(group: str, option: str) -> str:
    """Today's name of an option of a configuration group."""
    found = table()["options"].get(f"{group}/{option}", f"{group}/{option}")
    return found.removeprefix(f"{group}/")


def current_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a plain configuration in today's names: targets, keys and values."""
    return renamed_config(config)[0]


def renamed_config(
    config: Mapping[str, Any], class_of: ClassOf = lambda key: None
) -> tuple[dict[str, Any], dict[str, str]]:
    """The same, and today's key for each former one in it, both dotted.

    Where a configuration has both, the former one counts: nothing but a person's file gives it.

    Args:
        config: as plain dicts and lists.
        class_of: asked for nodes of it that have no `_target_`.
    """
    found: dict[str, Any] = current_targets(dict(config))

    def own_class_of(key: Key) -> str | None:
        target = select(found, (*key, "_target_"))
        return class_of(key) if target is None else str(target).rpartition(".")[2]

    renamed = {}
    for old in list(_former(found)):
        node = select(found, old[:-1])
        value = node[old[-1]]
        new, values = current_key(old, own_class_of, value)
        if isinstance(value, str):
            value = values.get(value, value)
        if new != old:
            renamed[".".join(old)] = ".".join(new)
            del node[old[-1]]
        put(found, new, value)
    for place in ("sweep", "hydra.sweeper"):  # search spaces: override key -> expression
        node = select(found, place)
        if isinstance(node, dict) and isinstance(node.get("params"), dict):
            node["params"] = _space(node["params"], own_class_of, renamed)
    return found, renamed


def current_space(params: Mapping[str, Any]) -> dict[str, Any]:
    """A search space, override key -> expression, in today's names."""
    return _space(params, lambda key: None, {})


def _space(params: Mapping[str, Any], class_of: ClassOf, renamed: dict[str, str]) -> dict[str, Any]:
    space = {}
    for name, expression in params.items():
        old = str(name).lstrip("+")
        parts, values = current_key(_parts(old), class_of, expression)
        new = ".".join(parts)
        if new != old:
            renamed[old] = new
        space[name[: len(name) - len(old)] + new] = in_expression(expression, old, values)
    return space


def in_expression(expression: Any, key: str, values: Mapping[str, Any]) -> Any:
    """A value as typed, or several as `choice(a,b)` or `a,b`, with today's words of this key."""
    options = {
        former.removeprefix(f"{key}/"): present.removeprefix(f"{key}/")
        for former, present in table()["options"].items()
        if former.startswith(f"{key}/")
    }
    words = {**options, **values}
    if not words or not isinstance(expression, str):
        return expression
    return re.sub(r"[\w/.-]+", lambda found: str(words.get(found[0], found[0])), expression)


def _former(node: Mapping[str, Any], above: Key = ()) -> Iterator[Key]:
    """The keys of nested dicts that may have another name now, inner ones first."""
    last = {rename.old[-1] for rename in renames()}
    for key, value in node.items():
        if isinstance(value, dict) and isinstance(key, str):
            yield from _former(value, (*above, key))
        if key in last:
            yield (*above, key)


def put(config: dict[str, Any], key: Key, value: Any) -> None:
    """Sets the value of a key, with the nodes above it."""
    for part in key[:-1]:
        if not isinstance(config.get(part), dict):
            config[part] = {}
        config = config[part]
    config[key[-1]] = value
