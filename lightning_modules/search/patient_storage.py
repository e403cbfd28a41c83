"""Optuna's storage, whose every call outlasts a restart of its database."""

import copy
import functools
import inspect
import json
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Container, Iterator
from importlib.util import find_spec
from typing import Any

from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from lightning_modules.errors import ConfigError
from lightning_modules.search.storage_file import check_file, file_of, identity_of
from lightning_modules.search.trial_rows import (
    BY_ID,
    BY_NUMBER,
    SINCE,
    DamagedRowError,
    read_trials,
)

PATIENCE = 120  # seconds without an answer, of a database that has been there
SAID_AFTER = 5  # seconds without an answer
PAUSES = (0.1, 5)  # seconds before the second try, and at most
APART = 30  # seconds without a failed try, after which the next one is of another outage

# https://www.postgresql.org/docs/current/errcodes-appendix.html: lost, shut down, starting, too
# many clients, deadlock and the like.
CODES = ("08", "57P01", "57P02", "57P03", "53300", "40001", "40P01")
# Who cannot connect gets no code from libpq.
WORDS = (
    "connection refused", "starting up", "shutting down", "not yet accepting", "recovery mode",
    "too many clients", "too many connections", "connection slots", "closed the connection",
    "terminating connection", "reset by peer", "timeout expired", "timed out", "broken pipe",
    "is the server running", "no route to host", "network is unreachable",
    "temporary failure in name resolution", "can't connect to", "database is locked",
)  # fmt: skip
SQLITE = (
    "; a SQLite file is for the workers of one host: give those of several a PostgreSQL server: "
    "hydra.sweeper.storage=postgresql://USER@HOST/DATABASE"
)


class LostConnection(Exception):
    """The database went away, or does not take us yet.

    No error of SQLAlchemy, so Optuna passes it on.
    """


class Refusal(Exception):
    """The database does not do what was asked; Optuna 2 would ask again, without end."""


class PatientStorage:
    """Optuna's storage of a database; calls that lose their connection are made again.

    What was done, but not answered, is not done twice: a trial is created once for each set of
    user attributes (its owner's token is its own), and ended once.

    Trials are read anew until they end, in two queries for all of them: Optuna's own cache takes
    those that it created for unchanged, though another process may end them.

    Raises:
        ConfigError: no answer for `PATIENCE` seconds, or the database refuses.
    """

    def __init__(self, url: str, engine_kwargs: dict[str, Any]) -> None:
        # Optuna fills in {SCHEMA_VERSION}; a folder may have braces, too.
        filled = with_driver(url).replace("{", "{{").replace("}", "}}")
        self.database = RDBStorage(filled, engine_kwargs=engine_kwargs)
        self.engine, self.url, self.process = self.database.engine, url, os.getpid()
        # Of each study, with their identities, by number.
        self._trials: dict[int, list[tuple[int, FrozenTrial]]] = {}
        self._numbers: dict[int, int] = {}
        self._lock = threading.Lock()
        self._outage: tuple[float, float] | None = None  # its first and its last failed try
        self.file = identity_of(file_of(url))
        event.listen(self.engine, "handle_error", _pass_on)

    def __getattr__(self, name: str) -> Any:
        """Every other call of Optuna's storage, in the patient form."""
        if name == "database":  # of a copy that is being made
            raise AttributeError(name)
        found = getattr(self.database, name)
        return functools.partial(self.call_patiently, found) if callable(found) else found

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """A trial as it is now.

        Raises:
            KeyError: there is none.
        """
        return self._one(BY_ID, trial_id=trial_id)

    def get_trial_of(self, study_id: int, number: int) -> FrozenTrial:
        """The trial of a number, as it is now.

        Raises:
            KeyError: there is none.
        """
        return self._one(BY_NUMBER, study_id=study_id, number=number)

    def get_trial_params(self, trial_id: int) -> dict[str, Any]:
        """As Optuna's."""
        return self.get_trial(trial_id).params

    def get_trial_user_attrs(self, trial_id: int) -> dict[str, Any]:
        """As Optuna's."""
        return self.get_trial(trial_id).user_attrs

    def get_trial_system_attrs(self, trial_id: int) -> dict[str, Any]:
        """As Optuna's."""
        return self.get_trial(trial_id).system_attrs

    def get_trial_number_from_id(self, trial_id: int) -> int:
        """As Optuna's; a number never changes."""
        if trial_id not in self._numbers:
            self._numbers[trial_id] = self.get_trial(trial_id).number
        return self._numbers[trial_id]

    def read_trials_from_remote_storage(self, study_id: int) -> None:
        """Does nothing: `get_all_trials` reads."""

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """All trials by number, or those in some states; only what may have changed is read."""
        with self._lock:
            known = self._trials.setdefault(study_id, [])
            given: dict[str, Any] = {"study_id": study_id, "last": known[-1][0] if known else -1}
            given["running"] = [key for key, one in known if not one.state.is_finished()]
            for trial_id, trial in self.call_patiently(read_trials, self.engine, SINCE, **given):
                known[trial.number : trial.number + 1] = [(trial_id, trial)]
            trials = [one for _, one in known if states is None or one.state in states]
        return copy.deepcopy(trials) if deepcopy else trials

    def _one(self, which: Any, **given: int) -> FrozenTrial:
        found = self.call_patiently(read_trials, self.engine, which, **given)
        if not found:
            raise KeyError("there is no such trial")
        return found[0][1]

    def call_patiently(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """What a call gives, which may be made several times."""
        if self.process != os.getpid():  # forked: the connections are the other process's
            self.engine.dispose(close=False)
            self.process = os.getpid()
        if self.file is not None:  # SQLite would go on writing what nobody reads any more
            check_file(self.url, self.file)
        lost = False

        def attempt() -> Any:
            nonlocal lost
            given = inspect.signature(method).bind(*args, **kwargs).arguments if lost else {}
            template = given.get("template_trial")
            if template is not None and template.user_attrs:
                attributes = json.loads(json.dumps(template.user_attrs))
                self.get_all_trials(given["study_id"], deepcopy=False)
                for trial_id, one in reversed(self._trials[given["study_id"]]):
                    if one.user_attrs == attributes:
                        return trial_id
            try:
                answer = method(*args, **kwargs)
            except LostConnection:
                lost, now = True, time.monotonic()
                self._outage = (self._outage[0] if self._outage else now, now)
                raise
            except RuntimeError:  # it has ended, as was asked for
                if "state" in given and self.get_trial(given["trial_id"]).state == given["state"]:
                    return True
                raise
            self._outage = None
            return answer

        # What ends a search calls again: the patience is with the outage, not with each call.
        now = time.monotonic()
        if self._outage is not None and now - self._outage[1] > APART:
            self._outage = None
        start = now if self._outage is None else self._outage[0]
        return patiently(attempt, self.url, PATIENCE, start)


def patiently(
    call: Callable[[], Any], url: str, patience: float, start: float | None = None
) -> Any:
    """What a call gives, once the database behind a URL answers.

    Args:
        call: that may raise `LostConnection`.
        url: of the storage, for sentences.
        patience: seconds without an answer.
        start: since when there is none, by `time.monotonic`; None: now.

    Raises:
        ConfigError: it does not within so many seconds, or refuses.
    """
    start, pause, said = start or time.monotonic(), PAUSES[0], False
    while True:
        try:
            return call()
        except LostConnection as lost:
            reason = str(lost)
        except (Refusal, SQLAlchemyError, StorageInternalError) as error:
            raise ConfigError(refusal(url, error)) from None
        except (UnicodeDecodeError, json.JSONDecodeError, DamagedRowError) as error:
            raise ConfigError(
                f"The study's storage {url} cannot be read ({error}): it is damaged; put back a "
                "copy of it, or begin anew with another hydra.sweep.dir."
            ) from None
        waited = time.monotonic() - start
        if waited + pause > patience:
            hint = SQLITE if url.startswith("sqlite") else "; see whether its server runs"
            raise ConfigError(
                f"The study's storage {url} cannot be used: no answer for {waited:.0f} s: {reason}"
                f"{hint}; the same command goes on with the study."
            ) from None
        if waited > SAID_AFTER and not said:
            said = True
            print(f"waiting  for the study's storage {url}: {reason}", file=sys.stderr, flush=True)
        time.sleep(pause * random.uniform(0.5, 1))  # not all workers at once
        pause = min(2 * pause, PAUSES[1])


def with_driver(url: str) -> str:
    """The URL for the driver that this project's extra installs, whose turn it is without a word.

    SQLAlchemy's own choice changed with its version 2.1.
    """
    if url.startswith("postgresql://") and find_spec("psycopg2"):
        return url.replace("postgresql://", "postgresql+psycopg2://", 1)
    return url


def refusal(url: str, error: BaseException) -> str:
    """Why a storage cannot be used, and what to do."""
    reason, hint = reason_of(error), ""
    if url.startswith("sqlite"):
        hint = SQLITE
    elif "password" in reason.lower():
        hint = "; its password is taken from the URL, from PGPASSWORD or from ~/.pgpass"
    return f"The study's storage {url} cannot be used: {reason}{hint}."


def reason_of(error: BaseException) -> str:
    """What the database itself said, in one line."""
    found = next(filter(None, (getattr(one, "orig", None) for one in _chain(error))), error)
    return " ".join(str(found).split()).rstrip(".")


def is_lost(error: BaseException) -> bool:
    """Whether the database went away, or does not take us yet: what a later try may not meet."""
    failures = [one for one in _chain(error) if isinstance(one, DBAPIError)]
    text = reason_of(error).lower()
    return any(
        one.connection_invalidated
        or str(getattr(one.orig, "pgcode", None)).startswith(CODES)
        or any(word in text for word in WORDS)
        for one in failures
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and those that it came from."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _pass_on(context: Any) -> None:
    """SQLAlchemy's hook for errors: the one place where a loss is told from a refusal."""
    if getattr(context, "is_pre_ping", False):
        return  # SQLAlchemy connects anew by itself
    error = context.sqlalchemy_exception
    if isinstance(error, DBAPIError) and not isinstance(error, IntegrityError):
        lost = context.is_disconnect or is_lost(error)
        raise (LostConnection if lost else Refusal)(reason_of(error))
