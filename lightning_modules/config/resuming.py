"""`resume=R`: the words that continue a run, and its saved configuration in place of the composed.

Hydra composes today's files, but a run goes on as it was composed when it began: what its
`.hydra/config.yaml` says comes before a file that was changed, or has gone, since. Only what is
typed anew, behind the word `resume=`, comes before that.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from lightning_modules.config.experiment_files import take_experiments
from lightning_modules.config.former_words import current_words
from lightning_modules.config.options import check_options, option_folders
from lightning_modules.errors import ConfigError
from lightning_modules.files import DAMAGE, read_yaml
from lightning_modules.registry import plain
from lightning_modules.runs import (
    METRICS_FILE,
    bash_word,
    check_unfinished,
    current_option,
    key_of,
    lead_to_data,
    leaves,
    missing_parts,
    quote,
    run_directory,
    same_version,
    saved_run,
    select,
)
from lightning_modules.runs.run_files import read_settings

# What may differ between a run and its continuation: nothing that changes a weight.
RESUMABLE = (
    "trainer.max_epochs", "logger", "callbacks", "hydra.verbose", "trust", "resume_force",
)  # fmt: skip
TRAINED = ("logger", "trust", "resume_force")  # the same of a run that lacks parts of its end only
REPLACED = ("logger", "callbacks")  # groups of which another option may be chosen


def resume_words(value: str, typed: list[str], folders: list[Path]) -> list[str]:
    """The overrides that continue a run: what it needs of its own, `resume=`, what is typed anew.

    A run of another version is composed from its own words, since its configuration has other
    keys; one of this version needs only those that typed words build on.

    Args:
        value: of `resume=`.
        typed: the other words of the command.
        folders: where options lie.

    Raises:
        ConfigError: it is no run, it would change, or an option does not exist.
    """
    run = run_directory.resolve(value, run_directory.STARTED)
    check_unfinished(run)
    earlier = _own_words(run, typed)
    _check_typed(run, typed)
    if "trust" in map(key_of, typed):
        names = dict.fromkeys([*trusted(earlier), *trusted(typed)])
        typed = [word for word in typed if key_of(word) != "trust"]
        typed.append(f"trust=[{','.join(names)}]")
    needed = earlier
    if _is_taken(run):
        groups = {key_of(word).split(".")[0] for word in typed} & set(REPLACED)
        needed = [word for word in earlier if key_of(word).split(".")[0] in groups]
    elif len(folders) == 1 and (folder := _own_folder(run)) is not None:
        word = bash_word(f"--config-dir={folder}")
        raise ConfigError(f"{run} was started with {word}; give that again.")
    else:
        # A key that was added (`+`) may be there by now, and Hydra would refuse it.
        added = re.compile(r"\+(?=[\w/]+\.)")
        needed = [added.sub("++", word, count=1) if added.match(word) else word for word in earlier]
        needed = take_experiments(needed, folders)
    check_options(needed, [*folders, *option_folders(needed)[1:]])
    own = [f"hydra.run.dir={quote(str(run))}", "hydra.output_subdir=.hydra/resume"]
    return [*needed, *_moved(run), f"resume={quote(str(run))}", *typed, *own]


def take_saved(cfg: DictConfig) -> None:
    """Puts a resumed run's saved configuration in the place of what was composed.

    What was typed anew stays. Of a run of another version, what was composed is taken.

    Args:
        cfg: as Hydra composed it, with its node; changed.
    """
    run = None if cfg.get("resume") is None else Path(cfg.resume)
    if run is None or not _is_taken(run):
        return
    task = list(cfg.hydra.overrides.task)
    place = next(n for n, word in enumerate(task) if key_of(word) == "resume")
    typed, keys = task[place + 1 :], [key_of(word) for word in task[place + 1 :]]
    saved = saved_run.read_config(run / ".hydra" / "config.yaml")
    lead_to_data(saved, run)
    for key in ["resume", *keys]:
        if not key.startswith("hydra"):
            node: Any = cfg
            for part in key.split("."):  # as written: an interpolation stays one
                node = node._get_node(part)
            OmegaConf.update(saved, key, node, merge=False)
    earlier = _own_words(run, typed)
    moved = [word for word in task[:place] if word not in earlier]
    with open_dict(cfg), read_write(cfg.hydra):
        for name in [name for name in cfg if name != "hydra"]:
            del cfg[name]
        for name in saved:
            cfg[name] = saved._get_node(name)
        cfg.hydra.overrides.task = [*earlier, *moved, *task[place:]]
        _take_choices(cfg.hydra.runtime.choices, run, keys)


def trusted(words: Sequence[str]) -> list[str]:
    """The packages of `trust=[...]`, or of `trust=...` where it is one."""
    named = [word for word in words if key_of(word) == "trust"]
    try:
        value = OverridesParser.create().parse_override(named[-1]).value() if named else []
    except HydraException:  # composing says it
        return []
    return [str(name) for name in (value if isinstance(value, list) else [value]) if name]


def _is_taken(run: Path) -> bool:
    """Whether a run goes on with its saved configuration: it is of this version."""
    return (run / ".hydra" / "config.yaml").is_file() and same_version(run)


def _own_words(run: Path, typed: Sequence[str]) -> list[str]:
    """The words that the run was started with, in today's names."""
    path = run / ".hydra" / "overrides.yaml"
    if not path.is_file():
        raise ConfigError(f"{run} cannot be resumed: it has no .hydra/overrides.yaml.")
    try:
        stored = read_yaml(path)
    except ConfigError:
        stored = {}
    if stored is None:
        stored = []  # an empty file: nothing was typed
    if not isinstance(stored, list) or not all(isinstance(word, str) for word in stored):
        raise ConfigError(
            f"{run} cannot be resumed: its .hydra/overrides.yaml is damaged; start a new run."
        )
    # Other loggers take the place of all that was said of those before.
    left_out = ("resume", "logger") if "logger" in map(key_of, typed) else ("resume",)
    words = current_words(stored, announce=False)
    return [word for word in words if key_of(word).split(".")[0] not in left_out]


def _check_typed(run: Path, typed: Sequence[str]) -> None:
    trained = (run / METRICS_FILE).is_file()
    for word in typed:
        key = key_of(word)
        if trained and key not in TRAINED:
            raise ConfigError(
                f"{word} cannot change any more: {run} is trained, and lacks only "
                f"{', '.join(missing_parts(run))}; leave it out."
            )
        if not any(key == name or key.startswith(f"{name}.") for name in RESUMABLE):
            raise ConfigError(
                f"{word} cannot change when a run is resumed; only trainer.max_epochs, "
                "logger and callbacks can: start a new run instead."
            )


def _moved(run: Path) -> list[str]:
    """Overrides for the paths of a run's data that lead elsewhere from here than they did then."""
    path = run / ".hydra" / "config.yaml"
    if not path.is_file():
        return []
    cfg = saved_run.read_config(path)
    typed = dict(leaves(plain(cfg.data, resolve=False)))
    lead_to_data(cfg, run)
    meant = leaves(plain(cfg.data, resolve=False))
    return [f"++data.{'.'.join(k)}={quote(v)}" for k, v in meant if v != typed.get(k)]


def _own_folder(run: Path) -> str | None:
    """Of options, which the command that started the run named by `--config-dir`."""
    path = run / ".hydra" / "hydra.yaml"
    stored = read_yaml(path) if path.is_file() else {}
    try:
        sources = select(stored, ("hydra", "runtime", "config_sources")) or []
        return next((each["path"] for each in sources if each["provider"] == "command-line"), None)
    except DAMAGE:
        raise ConfigError(f"{path} cannot be read; the run is damaged.") from None


def _take_choices(choices: DictConfig, run: Path, typed: Sequence[str]) -> None:
    path = run / ".hydra" / "hydra.yaml"
    if not path.is_file():
        return
    stored = OmegaConf.select(read_settings(path), "hydra.runtime.choices")
    if not OmegaConf.is_dict(stored):
        raise ConfigError(f"{path} says no options; the run is damaged.")
    for group, option in stored.items():
        if not str(group).startswith("hydra/") and group not in typed:
            choices[group] = option and current_option(str(group), str(option))
