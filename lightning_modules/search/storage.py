"""Opening a study: its storage, whether it is the one that the command means, a job's own trial."""

import functools
import logging
import os
from pathlib import Path
from typing import Any

import optuna
from omegaconf import DictConfig
from optuna import Study, Trial
from optuna.exceptions import StorageInternalError
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from lightning_modules.config import PASSWORD, current_words, split_password
from lightning_modules.errors import ConfigError
from lightning_modules.files import read_json, write_json
from lightning_modules.registry import plain
from lightning_modules.runs import SEARCH, current_space, this_process
from lightning_modules.search.identity import digest, identity, study_name
from lightning_modules.search.objectives import objectives_of
from lightning_modules.search.opened_study import as_optunas, load_study, trial_of
from lightning_modules.search.ownership import OWNER, elsewhere, open_trial
from lightning_modules.search.patient_storage import (
    PATIENCE,
    LostConnection,
    PatientStorage,
    is_lost,
    patiently,
    reason_of,
    with_driver,
)
from lightning_modules.search.storage_file import check_file

PATIENCE_AT_FIRST = 10  # seconds
RACED = ("already exists", "unique constraint")  # what databases say of it


def open_study(root: DictConfig) -> Study:
    """The study of a composed search, new or to be continued.

    Raises:
        ConfigError: the storage cannot be reached, or has a study of this name with another
            space, other objectives, directions or fixed overrides; or this search was begun
            when keys had other names.
    """
    name, folder = root.hydra.sweeper.study_name, Path(root.hydra.sweep.dir)
    # One that has been there comes back; of a new one the URL may be wrong.
    patience = PATIENCE if (folder / SEARCH).is_file() else PATIENCE_AT_FIRST
    about, storage = identity(root), open_storage(root.hydra.sweeper.storage, patience)
    numbers = [int(path.name) for path in (folder / "trials").glob("*") if path.name.isdecimal()]
    try:
        study = load_study(name, storage)
    except KeyError:
        _check_folder(folder, name, about, numbers, trials=None)
        if name == study_name(root):  # nobody asked for a study of another name
            _check_former(folder.parent, name, about)
        optuna.create_study(
            study_name=name,
            storage=as_optunas(storage),
            directions=about["directions"],
            load_if_exists=True,  # another worker may have been faster
        )
        study = load_study(name, storage)
    _check_same(study, about)
    _check_folder(folder, name, about, numbers, trials=len(study.get_trials(deepcopy=False)))
    score, (url, _) = plain(root.score.macs), split_password(root.hydra.sweeper.storage)
    _note_hosts(study, url)
    write_json(folder / SEARCH, {"name": name, "storage": url, "score": score, **about})
    return study


def find_study(folder: Path) -> tuple[Study, dict[str, Any]]:
    """The study that lies in a folder, or whose storage is named there, and what it is about.

    Raises:
        ConfigError: there is none, or its storage cannot be reached.
    """
    try:
        about = read_json(folder / SEARCH)
    except (OSError, ValueError):
        raise ConfigError(f"{folder} is no study: it has no readable {SEARCH}.") from None
    keys = ("name", "storage")
    if not isinstance(about, dict) or not all(isinstance(about.get(key), str) for key in keys):
        raise ConfigError(f"{folder / SEARCH} cannot be read; the study is damaged.")
    url = about["storage"]
    if url.startswith("sqlite:///") and (folder / "study.db").is_file():
        url = f"sqlite:///{folder / 'study.db'}"  # the folder may have been moved
    check_file(url)
    try:
        return load_study(about["name"], open_storage(url)), about
    except KeyError:
        raise ConfigError(f"{url} holds no study called {about['name']}.") from None


def own_trial(hydra: DictConfig, number: int, pruner: Any = None) -> Trial:
    """The trial that a job is, from the study that its `hydra` node names; `pruner` decides."""
    check_file(hydra.sweeper.storage)
    study = load_study(
        hydra.sweeper.study_name,
        _job_storage(hydra.sweeper.storage, os.getpid()),
        sampler=optuna.samplers.RandomSampler(),  # has nothing to draw here
        pruner=pruner,
    )
    return open_trial(study, trial_of(study, number))


def trial_facts(cfg: DictConfig, hydra: DictConfig) -> dict[str, Any]:
    """What a logger should know of a trial: its study, number, parameters and objectives."""
    return {
        "study": hydra.sweeper.study_name,
        "trial": cfg.trial,
        "params": dict(own_trial(hydra, cfg.trial).params),
        "objectives": objectives_of(cfg),
    }


def open_storage(url: Any, patience: float = PATIENCE) -> PatientStorage:
    """Optuna's storage behind a URL; its password may be in it, or in the environment.

    Args:
        url: as SQLAlchemy takes it.
        patience: for how many seconds a database may not answer.

    Raises:
        ConfigError: it cannot be reached, or is of another Optuna.
    """
    optuna.logging.set_verbosity(logging.WARNING)
    if not isinstance(url, str):
        raise ConfigError(f"hydra.sweeper.storage={url} is no URL; give sqlite:///FILE or another.")
    url, password = split_password(url)
    try:
        settings = _engine_settings(url, password)
    except (SQLAlchemyError, ImportError) as error:
        raise ConfigError(
            f"The study's storage {url} cannot be used: {reason_of(error)}."
        ) from None

    def opened() -> PatientStorage:
        try:
            return PatientStorage(url, settings)
        except (SQLAlchemyError, StorageInternalError) as error:
            # Another worker may create the same tables just now; a moment later they are there.
            if is_lost(error) or any(word in reason_of(error).lower() for word in RACED):
                raise LostConnection(reason_of(error)) from None
            raise
        except RuntimeError as error:
            versions = str(error).partition(". ")[0]  # "The runtime ... (set up by optuna 5.0.0)"
            raise ConfigError(
                f"The study's storage {url} is of another Optuna: {versions}; go on with that one, "
                f"or copy the database first and then run `optuna storage upgrade --storage {url}` "
                "with the newer one, which cannot be undone."
            ) from None
        except ImportError as error:
            raise ConfigError(
                f"The study's storage {url} cannot be used: {error.__cause__ or error}."
            ) from None

    storage: PatientStorage = patiently(opened, url, patience)
    return storage


@functools.lru_cache(1)
def _job_storage(url: str, process: int) -> PatientStorage:
    """One for all that a job tells its study: its value, its epochs, its beats."""
    return open_storage(url)


def _engine_settings(url: str, password: str | None) -> dict[str, Any]:
    """What SQLAlchemy's engine is made with."""
    parts = make_url(with_driver(url))
    if parts.get_backend_name() == "sqlite":
        # Workers wait for each other's writes, each of which takes milliseconds.
        return {"connect_args": {"timeout": 60}}
    words: dict[str, Any] = {}
    if parts.get_driver_name() in ("psycopg2", "psycopg"):
        # A host that vanished says nothing: seconds, and for the last one milliseconds.
        words = {"connect_timeout": 10, "keepalives_idle": 30, "keepalives_interval": 10}
        words |= {"keepalives_count": 3, "tcp_user_timeout": 60_000}
        words = {key: value for key, value in words.items() if key not in parts.query}
    if secret := password or os.environ.get(PASSWORD):
        words["password"] = secret
    # One for the search, and one for a thread of it that beats at the same time.
    return {"connect_args": words, "pool_pre_ping": True, "pool_size": 1, "max_overflow": 4}


def _note_hosts(study: Study, url: str) -> None:
    """Says what to do where workers of several hosts write one SQLite file."""
    owners = (trial.user_attrs[OWNER]["host"] for trial in elsewhere(study.get_trials(False)))
    others = sorted(set(owners) - {this_process()["host"]})
    if others and url.startswith("sqlite"):
        print(
            f"note     workers on {', '.join(others)} use {url}, too: a SQLite file may be damaged "
            "by several hosts; give them a PostgreSQL server: "
            "hydra.sweeper.storage=postgresql://USER@HOST/DATABASE",
            flush=True,
        )


def _check_folder(
    folder: Path, name: str, about: dict[str, Any], numbers: list[int], *, trials: int | None
) -> None:
    """Refuses a folder whose trials are another study's: their figures would be taken for its own.

    Args:
        folder: of the study.
        name: of the study.
        about: what it is about.
        numbers: of the trials whose runs lie there, read before the study was.
        trials: how many the study has; None where its storage does not know it.
    """
    try:
        stored = read_json(folder / SEARCH)
    except (OSError, ValueError):
        stored = {}
    other = stored.get("name", name)
    if not numbers or (other == name and max(numbers) < (trials or 0)):
        return
    found = f"{folder / 'trials'} holds trials"
    if other != name:
        parts = [part for part in about if digest(stored.get(part)) != digest(about[part])]
        found += (
            f" of the study {other}, which differs from {name} in {' and '.join(parts) or 'name'}"
        )
    elif trials:
        found += f" up to number {max(numbers)}, but the study {name} in the storage has {trials}"
    else:
        found += f", but the storage knows no study called {name}"
    raise ConfigError(f"{found}; give another hydra.sweep.dir, or move the old trials away.")


def _check_same(study: Study, about: dict[str, Any]) -> None:
    """Refuses a study that is about something else; notes it in one without trials.

    Whoever was faster may still be at it, or was killed at it.
    """
    noted = {f"{part}, digest": digest(content) for part, content in about.items()}
    if not study.get_trials(deepcopy=False):
        for key, value in {**noted, "objectives": about["objectives"]}.items():
            if key not in study.user_attrs:
                study.set_user_attr(key, value)
    stored = study.user_attrs
    if other := [
        part for part in about if stored.get(f"{part}, digest") != noted[f"{part}, digest"]
    ]:
        raise ConfigError(
            f"There is a study called {study.study_name} already, with another "
            f"{', and other '.join(other)}; give another hydra.sweeper.study_name, or the command "
            "that began it."
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
        former = {**{key: stored.get(key) for key in about}, "space": space}
        same = digest({**former, "fixed overrides": fixed}) == digest(about)
        if stored.get("name") != name and same:
            raise ConfigError(
                f"{path.parent} is this search, begun when some keys had other names, and cannot "
                f"be continued; begin it anew with hydra.sweeper.study_name=NAME."
            )
