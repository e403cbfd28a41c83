"""Optuna's storage, whose every call outlasts a restart of its database."""

import functools
import inspect
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from lightning_modules.errors import ConfigError

PATIENCE = 120  # seconds without an answer, of a database that has been there
SAID_AFTER = 5  # seconds without an answer
PAUSES = (0.1, 5)  # seconds before the second try, and at most

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


# Those that are given a session are parts of a transaction, which fails as a whole.
CALLS = {
    method
    for name, method in vars(RDBStorage).items()
    if inspect.isfunction(method)
    and not name.startswith("__")
    and "session" not in inspect.signature(method).parameters
}


class PatientStorage(RDBStorage):
    """Calls that lose their connection are made again, for two minutes.

    What was done, but not answered, is not done twice: a trial is created once for each set of
    user attributes (its owner's token is its own), and ended once.

    Raises:
        ConfigError: no answer for `PATIENCE` seconds, or the database refuses.
    """

    def __init__(self, url: str, engine_kwargs: dict[str, Any]) -> None:
        # Optuna fills in {SCHEMA_VERSION}; a folder may have braces, too.
        super().__init__(url.replace("{", "{{").replace("}", "}}"), engine_kwargs=engine_kwargs)
        self.process = os.getpid()
        event.listen(self.engine, "handle_error", _pass_on)

    def __getattribute__(self, name: str) -> Any:
        """Every call of Optuna's storage, in the patient form."""
        found = super().__getattribute__(name)
        if inspect.ismethod(found) and found.__func__ in CALLS:
            return functools.partial(self.call_patiently, found)
        return found

    def call_patiently(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """What a call gives, which may be made several times."""
        if self.process != os.getpid():  # forked: the connections are the other process's
            self.engine.dispose(close=False)
            self.process = os.getpid()
        lost = False

        def attempt() -> Any:
            nonlocal lost
            given = inspect.signature(method).bind(*args, **kwargs).arguments if lost else {}
            template = given.get("template_trial")
            if template is not None and template.user_attrs:
                known = self.get_all_trials(given["study_id"], deepcopy=False)
                if created := [one for one in known if one.user_attrs == template.user_attrs]:
                    return created[0]
            try:
                return method(*args, **kwargs)
            except LostConnection:
                lost = True
                raise
            except RuntimeError:  # it has ended, as was asked for
                if "state" in given and self.get_trial(given["trial_id"]).state == given["state"]:
                    return True
                raise

        return patiently(attempt, self.url, PATIENCE)


def patiently(call: Callable[[], Any], url: str, patience: float) -> Any:
    """What a call gives, once the database behind a URL answers.

    Raises:
        ConfigError: it does not within so many seconds, or refuses.
    """
    start, pause, said = time.monotonic(), PAUSES[0], False
    while True:
        try:
            return call()
        except LostConnection as lost:
            reason = str(lost)
        except (SQLAlchemyError, StorageInternalError) as error:
            raise ConfigError(refusal(url, error)) from None
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
    if error is not None and (context.is_disconnect or is_lost(error)):
        raise LostConnection(reason_of(error))
