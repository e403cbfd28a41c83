"""What a search varies: the sweep's parameters, less what the command line fixes."""

from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from lightning_modules.errors import ConfigError
from lightning_modules.schema import nearest
from lightning_modules.search.distributions import Distribution, parse


@dataclass(frozen=True)
class Space:
    """The effective search space.

    Attributes:
        params: override key -> expression, such as `choice(32,64)`; a key may begin with `+`.
        fixed: all other overrides of the command line, as typed.
        dropped: parameters of the sweep file that an option chosen on the command line lacks.
    """

    params: dict[str, str]
    fixed: list[str]
    dropped: list[str]


def search_space(root: DictConfig) -> Space:
    """The space of a composed multirun; a key on the command line leaves the sweep's parameters.

    Raises:
        ConfigError: a parameter of the sweep file is no key of the configuration.
    """
    given = [(one, str(one.input_line)) for one in _overrides(root)]
    swept = {
        one.get_key_element(): line.split("=", 1)[1]
        for one, line in given
        if one.is_sweep_override()
    }
    taken, params, dropped = taken_keys(root), {}, []
    for key, expression in (root.hydra.sweeper.params or {}).items():
        if expression is None or is_taken(bare(key), taken):
            continue
        if key.startswith("+") or has_key(root, key):
            params[key] = str(expression)
        elif key.split(".")[0] in taken:
            dropped.append(key)
        else:
            raise ConfigError(_unknown(root, key))
    fixed = [line for one, line in given if not one.is_sweep_override()]
    return Space({**params, **swept}, fixed, dropped)


def taken_keys(root: DictConfig) -> set[str]:
    """The keys that the command line gives, with one value or with several."""
    return {bare(override.get_key_element()) for override in _overrides(root)}


def is_taken(key: str, taken: set[str]) -> bool:
    """Whether the command line gives a key, or a node above it; a group's option is no node."""
    parts = key.split(".")
    above = {".".join(parts[:count]) for count in range(2, len(parts) + 1)}
    return bool(taken & {key, *above})


def distributions(space: Space) -> tuple[dict[str, Distribution], list[str]]:
    """What each parameter is drawn from, and the overrides of those with one value only.

    Raises:
        ConfigError: an expression cannot be read.
    """
    read = {key: parse(key, expression) for key, expression in space.params.items()}
    varied = {key: one for key, one in read.items() if not isinstance(one, str)}
    return varied, [f"{key}={one}" for key, one in read.items() if isinstance(one, str)]


def as_override(name: str, value: Any) -> str:
    """A drawn value as Hydra's grammar takes it."""
    if value is None or isinstance(value, bool):
        value = {None: "null", True: "true", False: "false"}[value]
    return f"{name}={value}"


def bare(key: str) -> str:
    """An override's key without what Hydra adds: `+a.b` -> `a.b`."""
    return key.lstrip("+~").split("@", 1)[0]


def has_key(root: DictConfig, key: str) -> bool:
    """Whether `key` is a configuration group or a key of the composed configuration."""
    return key in root.hydra.runtime.choices or _missing_part(root, key) is None


def _overrides(root: DictConfig) -> list[Override]:
    return OverridesParser.create().parse_overrides(list(root.hydra.overrides.task))


def _missing_part(root: DictConfig, key: str) -> tuple[str, list[str]] | None:
    """The first part of a dotted key that is not there, and what is there instead."""
    node: Any = root
    for part in key.split("."):
        names = [str(name) for name in node] if OmegaConf.is_dict(node) else []
        if part not in names:
            return part, names
        node = OmegaConf.select(node, part)
    return None


def _unknown(root: DictConfig, key: str) -> str:
    part, names = _missing_part(root, key) or (key, [])
    hint = nearest(part, names) or f": there is no {part} in it"
    return f"The search space has {key}, which is not a key of the configuration{hint}."
