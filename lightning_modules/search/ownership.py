"""Trials at work: begun together with the process that tends them, which shows that it lives.

A trial of `study.ask()` has no owner yet, and whoever is killed then leaves one that nobody knows
to be dead. The one place with a private name of Optuna, `FrozenTrial._trial_id`.
"""

import threading
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from optuna import Study, Trial
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FrozenTrial, TrialState

from lightning_modules.runs import lives, this_process
from lightning_modules.search.opened_study import new_trial
from lightning_modules.search.trials import counts

# User attributes of a trial; studies that exist have the first by this name.
OWNER = "owner"  # the process that executes it, before that the one that began it
SWEEPER = "sweeper"  # the process that began it, and tells it where the owner does not
HEARTBEAT = "heartbeat"  # when either was last heard of

BEAT_SECONDS = 60

warnings.filterwarnings("ignore", "(add|create)_trials? is", ExperimentalWarning)  # of Optuna 2


def begin_trial(study: Study, **attributes: Any) -> FrozenTrial:
    """A new running trial of this process, with further user attributes; no parameters yet.

    The token makes it one of its kind: a creation that is tried again finds what the first try
    made.
    """
    sweeper = this_process()
    owner = {**sweeper, "job": None, "token": uuid4().hex}
    begun = {OWNER: owner, SWEEPER: sweeper, HEARTBEAT: beat(0)}
    return new_trial(study, {**begun, **attributes})


def take_over(trial: Trial) -> None:
    """Makes this process tend a running trial whose own has ended."""
    own, before = this_process(), trial.user_attrs.get(OWNER, {})
    trial.set_user_attr(HEARTBEAT, beat(0))
    trial.set_user_attr(SWEEPER, own)
    trial.set_user_attr(OWNER, {**own, "job": None, "token": before.get("token")})


def open_trial(study: Study, trial: FrozenTrial) -> Trial:
    """A running trial to be drawn and told of; the study's sampler draws at once."""
    return Trial(study, trial._trial_id)


def sweeper_of(trial: FrozenTrial) -> dict[str, Any] | None:
    """Who began a trial; in earlier versions that was who executed it."""
    return trial.user_attrs.get(SWEEPER, trial.user_attrs.get(OWNER))


def elsewhere(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Trials at work in other processes, or on hosts that cannot be seen from here."""
    running = [t for t in trials if t.state == TrialState.RUNNING and counts(t)]
    return [t for t in running if OWNER in t.user_attrs and lives(t.user_attrs[OWNER]) is not False]


@contextmanager
def heartbeat(trial: Trial) -> Iterator[None]:
    """Shows within its block that a trial is tended: an attribute, anew each minute."""
    ends = threading.Event()
    threading.Thread(target=_beat_until, args=(trial, ends), daemon=True).start()
    try:
        yield
    finally:
        ends.set()


def _beat_until(trial: Trial, ends: threading.Event) -> None:
    number = 0
    while not ends.wait(BEAT_SECONDS):
        number += 1
        try:
            trial.set_user_attr(HEARTBEAT, beat(number))
        except Exception:  # finished; or the storage is away, of which the telling speaks
            continue


def beat(number: int) -> Mapping[str, Any]:
    return {"beat": number, "at": time.time()}
