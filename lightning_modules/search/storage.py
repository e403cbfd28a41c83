"""Opening a study: its storage, whether it is the one that the command means, a job's own trial."""

import logging
import time
from pathlib import Path
from typing import Any

import optuna
from omegaconf import DictConfig
from optuna.pruners import BasePruner
from optuna.storages import RDBStorage
from sqlalchemy.exc import SQLAlchemyError

from lightning_modules.config import current_words
from lightning_modules.errors import ConfigError
from lightning_modules.files import read_json, write_json
from lightning_modules.registry import plain
from lightning_modules.runs import SEARCH, current_space
from lightning_modules.search.identity import digest, identity, study_name
from lightning_modules.search.live_trials import find_trial, open_trial
from lightning_modules.search.objectives import directions_of, objectives_of

RACED = ("already exists", "unique constraint")  # what databases say of it


def open_study(root: DictConfig) -> optuna.Study:
    """The study of a composed search, new or to be continued.

    Raises:
        ConfigError: the storage cannot be reached, or has a study of this name with another
            space, other objectives, directions or fixed overrides; or this search was begun
            when keys had other names.
    """
    optuna.logging.set_verbosity(logging.WARNING)
    settings, folder = root.hydra.sweeper, Path(root.hydra.sweep.dir)
    about = identity(root)
    names, directions = objectives_of(root), directions_of(root)
    storage = open_storage(settings.storage)
    try:
        study = optuna.load_study(study_name=settings.study_name, storage=storage)
    except KeyError:
        _check_empty(folder, settings.study_name)
        if settings.study_name == study_name(root):  # nobody asked for a study of another name
            _check_former(folder.parent, settings.study_name, about)
        study = optuna.create_study(
            study_name=settings.study_name,
            storage=storage,
            directions=directions,
            load_if_exists=True,  # another worker may have been faster
        )
    _describe(study, names, about)
    _check_same(study, about, directions)
    score = plain(root.score.macs)
    content = {"name": study.study_name, "storage": str(settings.storage), "score": score, **about}
    write_json(folder / SEARCH, content)
    return study


def find_study(folder: Path) -> tuple[optuna.Study, dict[str, Any]]:
    """The study that lies in a folder, or whose storage is named there, and what it is about.

    Raises:
        ConfigError: there is none, or its storage cannot be reached.
    """
    optuna.logging.set_verbosity(logging.WARNING)
    try:
        about = read_json(folder / SEARCH)
    except (OSError, ValueError):
        raise ConfigError(f"{folder} is no study: it has no readable {SEARCH}.") from None
    url = about["storage"]
    if url.startswith("sqlite:///") and (folder / "study.db").is_file():
        url = f"sqlite:///{folder / 'study.db'}"  # the folder may have been moved
    try:
        return optuna.load_study(study_name=about["name"], storage=open_storage(url)), about
    except KeyError:
        raise ConfigError(f"{url} holds no study called {about['name']}.") from None


def own_trial(cfg: DictConfig, hydra: DictConfig, pruner: BasePruner | None = None) -> optuna.Trial:
    """The trial that a job is, from the study's storage.

    Args:
        cfg: of the trial; `trial` is its number.
        hydra: its `hydra` node, which names study and storage.
        pruner: decides for it.
    """
    optuna.logging.set_verbosity(logging.WARNING)
    study = optuna.load_study(
        study_name=hydra.sweeper.study_name,
        storage=open_storage(hydra.sweeper.storage),
        sampler=optuna.samplers.RandomSampler(),  # has nothing to draw here
        pruner=pruner,
    )
    return open_trial(study, find_trial(study, cfg.trial))


def trial_facts(cfg: DictConfig, hydra: DictConfig) -> dict[str, Any]:
    """What a logger should know of a trial: its study, number, parameters and objectives."""
    return {
        "study": hydra.sweeper.study_name,
        "trial": cfg.trial,
        "params": dict(own_trial(cfg, hydra).params),
        "objectives": objectives_of(cfg),
    }


def open_storage(url: Any) -> RDBStorage:
    """Optuna's storage behind a URL.

    Raises:
        ConfigError: it cannot be reached, or is of another Optuna.
    """
    if not isinstance(url, str):
        raise ConfigError(f"hydra.sweeper.storage={url} is no URL; give sqlite:///FILE or another.")
    # Workers wait for each other's writes, each of which takes milliseconds.
    patience = {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {}
    for tries_left in reversed(range(10)):
        try:
            return RDBStorage(url, engine_kwargs=patience)
        except RuntimeError as error:
            versions = str(error).partition(". ")[0]  # "The runtime ... (set up by optuna 5.0.0)"
            raise ConfigError(
                f"The study's storage {url} is of another Optuna: {versions}; go on with that one, "
                f"or copy the database first and then run `optuna storage upgrade --storage {url}` "
                "with the newer one, which cannot be undone."
            ) from None
        except (SQLAlchemyError, ImportError) as error:
            reason = " ".join(str(error.__cause__ or error).split()).rstrip(".")
            # Another worker creates the same tables just now; a moment later they are there.
            if not tries_left or not any(word in reason.lower() for word in RACED):
                raise ConfigError(f"The study's storage {url} cannot be used: {reason}.") from None
            time.sleep(0.2)
    raise AssertionError("The last try returns or raises.")


def _describe(study: optuna.Study, names: list[str], about: dict[str, Any]) -> None:
    """Writes what a study is about, unless that stands there; before its first trial only.

    A worker that was faster may still be at it, or was killed at it.
    """
    attributes = {"objectives": names, **{f"{k}, digest": digest(v) for k, v in about.items()}}
    if not study.get_trials(deepcopy=False):
        for key in attributes.keys() - study.user_attrs.keys():
            study.set_user_attr(key, attributes[key])


def _check_same(study: optuna.Study, about: dict[str, Any], directions: list[str]) -> None:
    stored = study.user_attrs
    other = [
        part for part, content in about.items() if stored.get(f"{part}, digest") != digest(content)
    ]
    theirs = [direction.name.lower() for direction in study.directions]
    if "directions" not in other and theirs != directions:
        other.append("directions")
    if other:
        raise ConfigError(
            f"There is a study called {study.study_name} already, with another {other[0]}"
            f"{', and other ' + ', '.join(other[1:]) if other[1:] else ''}; give another "
            "hydra.sweeper.study_name, or the command that began it."
        )


def _check_former(studies: Path, name: str, about: dict[str, Any]) -> None:
    """Refuses to begin anew what an earlier version began, whose trials' keys had other names."""
    for path in studies.glob(f"*/{SEARCH}"):
        try:
            stored = read_json(path)
            space = {**stored["space"], "params": current_space(stored["space"]["params"])}
            fixed = sorted(current_words(stored["fixed overrides"], announce=False))
        except (OSError, ValueError, KeyError, TypeError):
            continue  # no study, or a damaged one
        former = {key: stored.get(key) for key in about}
        former |= {"space": space, "fixed overrides": fixed}
        if stored.get("name") != name and digest(former) == digest(about):
            raise ConfigError(
                f"{path.parent} is this search, begun when some keys had other names, and cannot "
                f"be continued; begin it anew with hydra.sweeper.study_name=NAME."
            )


def _check_empty(folder: Path, name: str) -> None:
    trials = folder / "trials"
    if trials.is_dir() and any(trials.iterdir()):
        raise ConfigError(
            f"{trials} holds trials, but the storage knows no study called {name}; give another "
            "hydra.sweep.dir, or move the old trials away."
        )
