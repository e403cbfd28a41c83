"""The configuration of a script: overrides over a finished run's own, or over the defaults."""

from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from lightning_modules.config import command_line
from lightning_modules.config.former_words import current_words, rename_composed
from lightning_modules.runs import saved_run
from lightning_modules.runs.overrides import key_of


def fresh_config(overrides: list[str]) -> DictConfig:
    """`conf/config.yaml` with Hydra overrides, for a script without a run.

    Raises:
        ConfigError: an option does not exist.
    """
    overrides = current_words(overrides)
    command_line.check_options(overrides)
    if GlobalHydra.instance().is_initialized():  # by run.py, which ends a search
        cfg = compose("config", overrides=overrides)
    else:
        with initialize_config_dir(config_dir=str(command_line.CONF), version_base="1.3"):
            cfg = compose("config", overrides=overrides)
    rename_composed(cfg)
    return cfg


def fresh_choices(overrides: list[str]) -> dict[str, str]:
    """Group -> option in `fresh_config` of the same overrides."""
    with initialize_config_dir(config_dir=str(command_line.CONF), version_base="1.3"):
        words = current_words(overrides, told=False)
        composed = compose("config", overrides=words, return_hydra_config=True)
    return OmegaConf.to_container(composed.hydra.runtime.choices)


def config_over(run: Path, overrides: list[str]) -> DictConfig:
    """The run's saved configuration with Hydra overrides applied to it.

    Args:
        run: a run directory.
        overrides: `group=option` replaces the whole group, `key=value` one value.

    Raises:
        ConfigError: the directory is no run, or an option does not exist.
    """
    overrides = current_words(overrides)
    keys = [key_of(override) for override in overrides]
    cfg = saved_run.saved_config(run, allowed=keys)
    composed = fresh_config(overrides)
    OmegaConf.set_struct(cfg, False)
    for key in keys:
        # As written, so that `${data.root}` means the run's value and not the default one.
        node = composed
        for part in key.split("."):
            node = node._get_node(part)
        OmegaConf.update(cfg, key, node, merge=False)
    return cfg
