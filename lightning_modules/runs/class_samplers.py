"""How much the images of a class count: by name, of `datamodules` or of an installed package."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from compression.registry import Registry
from lightning_modules.errors import ConfigError

if TYPE_CHECKING:  # a check has no need of the data side
    from datamodules.loading import ClassSampler

OWN = "datamodules.loading.class_balance"
PATHS = {
    "balanced": f"{OWN}:balanced",
    "sqrt": f"{OWN}:sqrt",
    "effective_number": f"{OWN}:EffectiveNumber",
}
GROUP = "model_diet.class_samplers"
# `sampling` and a loss's `class_weights` take the same; each has its word for "as they come".
SAMPLING = Registry(
    "class sampler", GROUP, {"natural": f"{OWN}:natural", **PATHS}, error=ConfigError
)
CLASS_WEIGHTS = Registry(
    "class sampler", GROUP, {"none": f"{OWN}:natural", **PATHS}, error=ConfigError
)


def class_sampler(setting: Any, key: str, registry: Registry) -> "str | ClassSampler":
    """What `datamodules` understands: its own names stay, all others become what they name.

    Args:
        setting: a name, a node with a `_target_`, or a sampler.
        key: of the setting, for the sentence.
        registry: one of this module's.

    Raises:
        ConfigError: no package, two packages, or no class sampler has that name.
    """
    part = registry.part(dict(setting) if isinstance(setting, Mapping) else setting, key)
    return setting if isinstance(setting, str) and setting in registry.paths else part
