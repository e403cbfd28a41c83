"""What the command line of a multirun (`-m`) sweeps over."""

from collections.abc import Iterator

from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig


def searches(root: DictConfig) -> bool:
    """Whether a sweeper with a search space and a budget (Optuna) chooses the trials."""
    return is_search(root.hydra)


def is_search(hydra: DictConfig) -> bool:
    """The same of the `hydra` node alone, which is what a job has."""
    return hydra.runtime.choices["hydra/sweeper"] != "basic"


def swept_keys(root: DictConfig) -> list[str]:
    """The keys to which the command line gives several values."""
    return [override.key_or_group for override in _overrides(root) if override.is_sweep_override()]


def sample_trials(root: DictConfig) -> Iterator[DictConfig]:
    """Composed trials of a multirun: as few as show each value of each key once.

    Hydra composes the multirun itself with the defaults of all keys that are swept over, which may
    be a configuration that no trial has. Intervals keep their default here too.
    """
    loader = GlobalHydra.instance().config_loader()
    values = [found for override in _overrides(root, loader) if (found := _values(override))]
    for number in range(max(map(len, values), default=0)):
        overrides = [several[number % len(several)] for several in values]
        yield loader.load_sweep_config(root, overrides)


def _overrides(root: DictConfig, loader: ConfigLoader | None = None) -> list[Override]:
    """The command line, parsed; only with a loader does `model=glob(*)` know its options."""
    return OverridesParser.create(loader).parse_overrides(list(root.hydra.overrides.task))


def _values(override: Override) -> list[str]:
    if not override.is_sweep_override():
        return [override.input_line]
    if not override.is_discrete_sweep():
        return []
    return [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]
