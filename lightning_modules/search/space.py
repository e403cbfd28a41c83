"""What a search varies: the sweep's parameters, less what the command line fixes."""

import difflib
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from lightning_modules.errors import ConfigError


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
    swept: dict[str, str] = {}
    fixed: list[str] = []
    for override in _overrides(root):
        line = str(override.input_line)
        if override.is_sweep_override():
            swept[override.get_key_element()] = line.split("=", 1)[1]
        else:
            fixed.append(line)
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
    return Space({**params, **swept}, fixed, dropped)


def taken_keys(root: DictConfig) -> set[str]:
    """The keys that the command line gives, with one value or with several."""
    return {bare(override.get_key_element()) for override in _overrides(root)}


def is_taken(key: str, taken: set[str]) -> bool:
    """Whether the command line gives a key, or a node above it; a group's option is no node."""
    parts = key.split(".")
    above = {".".join(parts[:count]) for count in range(2, len(parts) + 1)}
    return bool(taken & {key, *above})


def distributions(space: Space) -> tuple[dict[str, Any], list[str]]:
    """Optuna's distribution of each parameter, and the overrides of those with one value only.

    Raises:
        ConfigError: an expression cannot be read.
    """
    from hydra_plugins.hydra_optuna_sweeper._impl import create_params_from_overrides

    found: dict[str, Any] = {}
    constant: list[str] = []
    for key, expression in space.params.items():
        try:
            varied, single = create_params_from_overrides([f"{key}={expression}"])
        except Exception as error:  # whatever the grammar, the plugin or Optuna say
            reason = " ".join(str(error).split()).rstrip(".")
            raise ConfigError(
                f"The search space has {key}: {expression}, which cannot be read: {reason}; write "
                "choice(..), interval(a,b), range(a,b) or tag(log, interval(a,b))."
            ) from None
        found |= varied
        constant += [f"{name}={value}" for name, value in single.items()]
    return found, constant


def _overrides(root: DictConfig) -> list[Override]:
    return OverridesParser.create().parse_overrides(list(root.hydra.overrides.task))


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


def _missing_part(root: DictConfig, key: str) -> tuple[str, list[str]] | None:
    """The first part of a dotted key that is not there, and what is there instead."""
    node: Any = root
    for part in key.split("."):
        names = [str(name) for name in node] if OmegaConf.is_dict(node) else []
        if part not in names:
            return part, names
        node = node._get_node(part)
        if node._is_interpolation():
            node = node._dereference_node()
    return None


def _unknown(root: DictConfig, key: str) -> str:
    part, names = _missing_part(root, key) or (key, [])
    near = difflib.get_close_matches(part, names, n=1)
    hint = f"did you mean {near[0]} for {part}?" if near else f"there is no {part} in it."
    return f"The search space has {key}, which is not a key of the configuration; {hint}"
