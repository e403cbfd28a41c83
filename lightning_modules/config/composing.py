"""Composed configurations: a script's, over a run's own or the defaults; a multirun's trials."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from lightning_modules.config.experiment_files import take_experiments
from lightning_modules.config.former_words import current_words, rename_composed
from lightning_modules.config.options import CONF, check_options, option_folders
from lightning_modules.config.own_code import find_composed_code, own_network
from lightning_modules.config.swept_values import written
from lightning_modules.config.typed_paths import check_paths, take_paths
from lightning_modules.errors import ConfigError
from lightning_modules.registry import plain
from lightning_modules.runs import joined, key_of, make_folder, run_directory, saved_run


def fresh_config(overrides: list[str]) -> DictConfig:
    """`conf/config.yaml` with Hydra overrides, for a script without a run.

    Raises:
        ConfigError: an option does not exist.
    """
    overrides = _words_of(own_network(current_words(take_paths(overrides))))
    check_options(overrides)
    if GlobalHydra.instance().is_initialized():  # by run.py, which ends a search
        cfg = compose("config", overrides=overrides)
    else:
        with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
            cfg = compose("config", overrides=overrides)
    rename_composed(cfg)
    check_paths(cfg)
    find_composed_code(cfg)
    return cfg


def fresh_choices(overrides: list[str]) -> dict[str, str]:
    """Group -> option in `fresh_config` of the same overrides."""
    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        words = _words_of(own_network(current_words(take_paths(overrides), announce=False)))
        composed = compose("config", overrides=words, return_hydra_config=True)
    return plain(composed.hydra.runtime.choices)


def _words_of(words: list[str]) -> list[str]:
    """The words of a script, in which experiments may be files."""
    return take_experiments(words, option_folders(words))


def config_over(run: Path, overrides: list[str]) -> DictConfig:
    """The run's saved configuration with Hydra overrides applied to it.

    Its `trust` has the packages that the overrides name.

    Args:
        run: a run directory.
        overrides: `group=option` replaces the whole group, `key=value` one value.

    Raises:
        ConfigError: the directory is no run, or an option does not exist.
    """
    overrides = current_words(overrides)
    keys = [key_of(override) for override in overrides]
    composed = fresh_config(overrides)
    cfg = saved_run.saved_config(run, allowed=keys, trust=list(composed.trust))
    resize_mode = cfg.data.get("resize_mode")
    OmegaConf.set_struct(cfg, False)
    for key in keys:
        # As written, so that `${data.root}` means the run's value and not the default one.
        node: Any = composed
        for part in key.split("."):
            node = node._get_node(part)
        OmegaConf.update(cfg, key, node, merge=False)
    if "data" in keys and "data.resize_mode" not in keys and resize_mode is not None:
        cfg.data.resize_mode = resize_mode  # of the network, not of the data
    cfg.trust = sorted(saved_run.trusted_packages(composed))  # not what the run itself names
    with suppress(ConfigError):  # of a run that is not finished
        cfg.data.levels = saved_run.description(run).get("levels")  # as its network was trained
    return cfg


def searches(root: DictConfig) -> bool:
    """Whether a sweeper with a search space and a budget (Optuna) chooses the trials."""
    return is_search(root.hydra)


def is_search(hydra: DictConfig) -> bool:
    """The same of the `hydra` node alone, which is what a job has."""
    return hydra.runtime.choices["hydra/sweeper"] != "basic"


def swept_keys(root: DictConfig) -> list[str]:
    """The keys to which the command line gives several values."""
    return [override.key_or_group for override in _overrides(root) if override.is_sweep_override()]


def multirun_folder(root: DictConfig) -> Path:
    """A new folder for a multirun without a search, made at once: two of one second differ."""
    name = f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{multirun_name(root)}"
    return make_folder(Path(root.outputs_dir) / "studies", name)


def multirun_name(root: DictConfig) -> str:
    """`<model>_<data>[_<steps>]_<swept keys>`, as `..._seed_fold`.

    Models and data that are swept over are left out.
    """
    swept, choices = swept_keys(root), root.hydra.runtime.choices
    named = {"model": run_directory.model_name(root), "data": choices.data}
    fixed = [name for group, name in named.items() if group not in swept]
    steps = [*root.get("compression", {})]
    return joined([*fixed, *steps, *(key.split(".")[-1] for key in swept[:6])])


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
        return [str(override.input_line)]
    if not override.is_discrete_sweep():
        return []
    return [f"{override.get_key_element()}={value}" for value in written(override)]
