"""`build`: the only place where a configuration node becomes an object."""

import inspect
from collections.abc import Mapping
from pkgutil import resolve_name
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig

from lightning_modules.errors import USER_ERRORS, ConfigError


def build(node: DictConfig | dict, **extra: Any) -> Any:
    """The object that `node` describes by its `_target_`.

    Nested nodes with a `_target_` are built too; lists and dicts arrive as plain Python ones.
    `extra` keywords are passed on untouched, so they may hold modules and data.

    Raises:
        ConfigError: the target does not exist or refuses its arguments.
    """
    target = node.get("_target_")
    try:
        # Hydra would merge keywords into the node, which copies and cannot hold a network.
        factory = instantiate(node, _partial_=True, _convert_="all")
        return factory(**extra)
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, USER_ERRORS):
            raise cause from None
        reason = str(error).splitlines()[0]
        raise ConfigError(f"{target} cannot be built: {reason}") from error
    except TypeError as error:
        if "argument" not in str(error):
            raise
        raise ConfigError(f"{target} cannot be built: {error}") from error


def takes(node: Mapping[str, Any], argument: str) -> bool:
    """Whether the target of `node` has an argument of that name.

    Raises:
        ConfigError: the target does not exist.
    """
    target = node.get("_target_")
    try:
        return argument in inspect.signature(resolve_name(target)).parameters
    except Exception as error:  # whatever the import raises
        raise ConfigError(f"{target} cannot be built: {error}.") from error
