"""The check after composing: mistakes that configuration, paths and file headers show.

Everything here runs before torch is imported and before anything is written, so a refusal costs a
second and leaves nothing behind.
"""

import os
import traceback
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from lightning_modules.config.command_line import COMPOSING, explain
from lightning_modules.config.composing import sample_trials, searches
from lightning_modules.config.former_words import as_written, rename_composed
from lightning_modules.config.own_code import find_composed_code
from lightning_modules.config.resuming import take_saved
from lightning_modules.config.schema import RunSettings
from lightning_modules.config.typed_paths import check_paths
from lightning_modules.errors import USER_ERRORS, ConfigError, system_sentence
from lightning_modules.files import remove_dead_parts
from lightning_modules.networks import resolved
from lightning_modules.registry import build, schema
from lightning_modules.runs import (
    check_unfinished,
    hold,
    leaves,
    note_version,
    run_directory,
    saved_run,
    typed_word,
)
from lightning_modules.schema import check_settings


class CheckBeforeStart(Callback):
    """Hydra's hook: runs `check` before the run's or study's folder exists.

    Hydra only warns of ordinary exceptions in its callbacks, so a refusal is a SystemExit here.
    """

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        """Checks the configuration and the folder of a run, before Hydra makes it."""
        _refuse(take_saved, config)
        _refuse(check, config)
        folder = _refuse(_folder_of, config, "run")
        _refuse(_check_folder, folder, config)
        run_directory.register(folder)
        _refuse(run_directory.make_writable, folder)
        _refuse(hold, folder)
        _refuse(_check_folder, folder, config)  # another process may have ended there meanwhile
        _refuse(note_version, config, folder)  # or a kill after Hydra's files leaves none

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Checks what all trials share, and makes the folder of the sweep."""
        _refuse(check_multirun, config)
        folder = _refuse(_folder_of, config, "sweep")
        _refuse(run_directory.make_writable, folder)  # for its database
        for place in (folder, folder / "figures"):
            remove_dead_parts(place)  # workers of a search may be at work beside
        if not searches(config):  # whose workers share a study
            _refuse(hold, folder)


def check_multirun(cfg: DictConfig) -> None:
    """Refuses a sweep of which no trial can run; a single bad trial is left to fail alone.

    Raises:
        ConfigError, DataError: one sentence on the first mistake found.
    """
    rename_composed(cfg)
    mistake = _mistake(cfg)
    for trial in sample_trials(cfg):  # composing the first one shows misspelt keys
        if mistake is None:
            break
        earlier, mistake = mistake, _mistake(trial)
        if str(mistake) == str(earlier):  # it has nothing to do with the values swept over
            break
    if mistake is not None:
        raise mistake
    if searches(cfg):
        schema("search")(cfg)


def _mistake(cfg: DictConfig) -> Exception | None:
    try:
        check(cfg, sweep=True)
    except USER_ERRORS as error:
        return error
    return None


def check_trial(cfg: DictConfig) -> None:
    """The same check for one trial of a sweep, whose values were not known at the start."""
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        check(cfg, sweep=True)


def check(cfg: DictConfig, *, sweep: bool = False) -> None:
    """Refuses a configuration that cannot work.

    Raises:
        ConfigError, DataError: one sentence on the first mistake found.
    """
    rename_composed(cfg)
    check_paths(cfg)
    _check_missing(cfg)
    find_composed_code(cfg)
    _check_top_level(cfg)
    schema("model")(cfg.model, "model")
    for name, node in cfg.teacher.items():
        _check_teacher(f"teacher.{name}", node)
        if node.get("model") is not None:
            schema("model")(node.model, f"teacher.{name}.model")
    schema("training")(cfg, sweep=sweep)
    schema("distillation")(cfg)
    schema("compression")(cfg)
    schema("objectives")(cfg)
    schema("loggers")(cfg)
    schema("latency")(resolved(cfg.latency, "latency")["backend"])
    _check_augment(cfg)
    classes = _check_data(cfg)
    _check_entered(cfg, classes)
    schema("teachers")(cfg, classes, sweep=sweep)


def _check_teacher(key: str, node: Any) -> None:
    """Refuses a teacher, or its network, that is a mere value: `+teacher.a.model=mnasnet`."""
    if not OmegaConf.is_dict(node):
        raise ConfigError(f"{key}={node} is no teacher; give its network by +teacher=NAME.")
    model = node.get("model")
    if model is not None and not OmegaConf.is_dict(model):
        raise ConfigError(f"{key}.model={model} is no network; give it by +teacher={model}.")


def check_step(cfg: DictConfig) -> None:
    """The part of the check that concerns steps on the network of `from_run`, and its data.

    Raises:
        ConfigError, DataError: one sentence on the first mistake found.
    """
    schema("compression")(cfg)
    _check_entered(cfg, _check_data(cfg))


def _folder_of(cfg: DictConfig, kind: str) -> Path:
    """The folder of the run, or of the sweep, as `hydra` names it; relative to where one types."""
    if cfg.hydra.job.chdir:
        raise ConfigError(
            "hydra.job.chdir=true would give all relative paths another meaning; leave it out: "
            "what a run writes lies in its folder anyway."
        )
    if not cfg.hydra[kind].dir:
        raise ConfigError(f"hydra.{kind}.dir has no value; name a folder, or leave it out.")
    folder = Path(cfg.hydra[kind].dir)
    if os.path.lexists(folder) and not folder.is_dir():
        raise ConfigError(f"hydra.{kind}.dir={folder} is no folder; name another, or leave it out.")
    return folder


def _refuse(checker: Callable, *arguments: Any, **settings: Any) -> Any:
    try:
        return checker(*arguments, **settings)
    except USER_ERRORS as error:
        raise SystemExit(f"error: {error}") from None
    except COMPOSING as error:
        raise SystemExit(f"error: {explain(error)}") from None
    except OSError as error:
        raise SystemExit(f"error: {system_sentence(error) or error}") from None
    except Exception:  # a bug of ours: Hydra would only warn and go on unchecked
        raise SystemExit(traceback.format_exc()) from None


def _check_missing(cfg: DictConfig) -> None:
    for key, value in leaves(as_written(cfg)):
        if value == "???":
            name = ".".join(key)
            raise ConfigError(f"{name} has no value; give it as {name}=... on the command line.")


def _check_top_level(cfg: DictConfig) -> None:
    told = {field.name: cfg[field.name] for field in fields(RunSettings) if field.name in cfg}
    nodes = {name: resolved(node, name) for name, node in told.items() if OmegaConf.is_dict(node)}
    check_settings(RunSettings, told | nodes)


def _check_augment(cfg: DictConfig) -> None:
    """Builds the recipe without its library, unless it has transforms of the library's own."""
    from datamodules.augmentation import require_library  # numpy: not for `--cfg`

    node = OmegaConf.to_container(cfg.augment, resolve=True)
    recipe, *transforms = [str(target) for _, target in saved_run.targets(node, "augment")]
    own = "datamodules.augmentation."
    if not recipe.startswith(own):
        return
    for name in transforms:
        require_library(name, cfg.augment.backend)
    if all(name.startswith(own) for name in transforms):
        build(cfg.augment, lazy=True)


def _check_data(cfg: DictConfig) -> tuple[str, ...]:
    if cfg.data.train_on_all and cfg.trainer.keep == "best":
        raise ConfigError(
            "data.train_on_all=true leaves no images to find the best epoch on; use "
            "trainer.keep=last."
        )
    # the data side: once the settings can be
    from lightning_modules.runs import build_source, make_splits, planned_splits

    make_splits(cfg)
    source = build_source(cfg.data)
    classes = source.check()
    notes: tuple[str, ...] = ()
    if source.is_made:
        index = source.read()
        planned_splits(cfg).apply(index)
        notes = index.notes
    if len(classes) < 2:
        found = f"data={cfg.data.name} has {', '.join(classes) or 'none'} only."
        raise ConfigError(
            " ".join((f"A classifier tells at least 2 classes apart, and {found}", *notes))
        )
    return classes


def _check_entered(cfg: DictConfig, classes: tuple[str, ...]) -> None:
    if cfg.from_run is None:
        return
    saved = saved_run.description(Path(cfg.from_run))
    theirs = tuple(saved["class_names"])
    if cfg.model.get("cosine_scale") is not None and "cosine_scale" not in saved["model"]:
        raise ConfigError(
            f"{cfg.from_run} was trained without the cosine head that loss=arcface needs; take "
            "another loss here, or a run that was trained with loss=arcface."
        )
    if not saved_run.same_structure(saved["model"], cfg.model):
        raise ConfigError(
            f"{cfg.from_run} holds another network than model={cfg.model.name} so configured; "
            "leave model out, and the run's own is taken."
        )
    if theirs != classes:
        raise ConfigError(
            f"{cfg.from_run} knows the classes {', '.join(theirs)}, but data={cfg.data.name} has "
            f"{', '.join(classes)}; give the data that the run was trained on."
        )


def _check_folder(folder: Path, cfg: DictConfig) -> None:
    if cfg.resume is not None:
        check_unfinished(folder)
    if cfg.resume is None and any((folder / name).exists() for name in ("steps", "model")):
        raise ConfigError(
            f"{folder} already holds a run; continue it with {typed_word('resume', folder)}, or "
            "choose another hydra.run.dir."
        )
