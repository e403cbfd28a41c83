"""Trials read from Optuna's tables in two queries, however many they are.

Optuna reads each through six, and builds an object of its own for each row. The tables are those of
https://optuna.readthedocs.io/en/stable/reference/generated/optuna.storages.RDBStorage.html, whose
layout any Optuna keeps that may open them: it refuses those of another.
"""

import json
import math
from functools import cache
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import (
    DateTime,
    Float,
    Integer,
    String,
    bindparam,
    cast,
    column,
    literal,
    null,
    select,
    table,
)
from sqlalchemy import union_all as union
from sqlalchemy.engine import Engine

from lightning_modules.files import DAMAGE

# Later versions write what is not finite in words.
IN_WORDS = int(optuna.__version__.split(".")[0]) >= 3
WORDS = {"INF_POS": math.inf, "INF_NEG": -math.inf, "NAN": math.nan}

TRIALS = table(
    "trials",
    column("trial_id", Integer),
    column("study_id", Integer),
    column("number", Integer),
    column("state", String),
    column("datetime_start", DateTime),
    column("datetime_complete", DateTime),
)
# Of each table its own key, the name of a row, its number, and its text.
PARTS = {
    "params": ("trial_params", "param_id", "param_name", "param_value", "distribution_json"),
    "values": ("trial_values", "trial_value_id", "objective", "value", "value_type"),
    "steps": (
        "trial_intermediate_values", "trial_intermediate_value_id", "step", "intermediate_value",
        "intermediate_value_type",
    ),
    "user": ("trial_user_attributes", "trial_user_attribute_id", "key", None, "value_json"),
    "system": ("trial_system_attributes", "trial_system_attribute_id", "key", None, "value_json"),
}  # fmt: skip


# Which trials are read, and what is given for it; put together once.
BY_ID = TRIALS.c.trial_id == bindparam("trial_id")
BY_NUMBER = (TRIALS.c.study_id == bindparam("study_id")) & (TRIALS.c.number == bindparam("number"))
SINCE = ((TRIALS.c.study_id == bindparam("study_id")) & (TRIALS.c.trial_id > bindparam("last"))) | (
    TRIALS.c.trial_id.in_(bindparam("running", expanding=True))
)


class DamagedRowError(Exception):
    """A row holds what Optuna does not write."""


def read_trials(engine: Engine, which: Any, **given: Any) -> list[tuple[int, FrozenTrial]]:
    """The trials that a condition holds for, after their identities, which rise.

    One that ends meanwhile is given as running, perhaps with what it ended with.

    Args:
        engine: of the database.
        which: `BY_ID`, `BY_NUMBER` or `SINCE`.
        given: the values of its names.
    """
    found, details = _queries(which)
    with engine.connect() as connection:
        rows = connection.execute(found, given).all()
        details_of: dict[int, dict[str, list[Any]]] = {row.trial_id: {} for row in rows}
        for part, trial_id, _, *row in connection.execute(details, given) if rows else ():
            details_of.get(trial_id, {}).setdefault(part, []).append(row)
    try:
        return [(row.trial_id, _trial(row, details_of[row.trial_id])) for row in rows]
    except DAMAGE as error:
        raise DamagedRowError(repr(error)) from error


@cache
def _queries(which: Any) -> tuple[Any, Any]:
    """Of the trials, and of all that belongs to them."""
    found = select(TRIALS).where(which).order_by(TRIALS.c.trial_id)
    return found, union(*(_rows(part, which) for part in PARTS)).order_by("id")


def _rows(part: str, which: Any) -> Any:
    name, *names = PARTS[part]
    key, label, number, text = (None if one is None else column(one) for one in names)
    if part in ("values", "steps") and not IN_WORDS:
        text = None
    source = table(name, column("trial_id", Integer))
    return (
        select(
            literal(part).label("part"),
            source.c.trial_id,
            key.label("id"),  # type: ignore[union-attr]
            cast(label, String).label("label"),
            cast(null() if number is None else number, Float(53)).label("number"),
            cast(null() if text is None else text, String).label("text"),
        )
        .select_from(source)
        .where(source.c.trial_id.in_(select(TRIALS.c.trial_id).where(which)))
    )


def _trial(row: Any, details_of: dict[str, list[Any]]) -> FrozenTrial:
    laws = {name: (_law(text), number) for name, number, text in details_of.get("params", ())}
    values = {int(place): _number(*rest) for place, *rest in details_of.get("values", ())}
    return FrozenTrial(
        number=row.number,
        state=TrialState[row.state],
        value=None,
        values=[values[place] for place in sorted(values)] or None,
        datetime_start=row.datetime_start,
        datetime_complete=row.datetime_complete,
        params={name: law.to_external_repr(number) for name, (law, number) in laws.items()},
        distributions={name: law for name, (law, _) in laws.items()},
        user_attrs={name: json.loads(text) for name, _, text in details_of.get("user", ())},
        system_attrs={name: json.loads(text) for name, _, text in details_of.get("system", ())},
        intermediate_values={
            int(step): _number(*rest) for step, *rest in details_of.get("steps", ())
        },
        trial_id=row.trial_id,
    )


def _number(number: float | None, word: str | None) -> Any:
    return WORDS.get(word or "", number)


@cache
def _law(text: str) -> BaseDistribution:
    return json_to_distribution(text)
