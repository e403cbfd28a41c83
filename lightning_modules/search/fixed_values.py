"""Values that are known before a trial begins: of a study's first, of a grid, or drawn again."""

import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import optuna
from omegaconf import DictConfig, OmegaConf
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from lightning_modules.config import in_grammar
from lightning_modules.errors import ConfigError
from lightning_modules.search.drafts import draft_study
from lightning_modules.search.space import Distribution, bare
from lightning_modules.search.trials import DIED, RETIRED, counts

TRIES = 3  # of values that end their process each time: by os._exit, a crash, or a kill
POINT = "point"  # the trial's user attribute: its combination, known before its parameters are


def default_value(root: DictConfig, name: str) -> Any:
    """The value that a parameter's key has without a search, or the option chosen of a group.

    A study's first trial has these, so that nothing worse wins; as `swept_values` has them.
    """
    key, choices = bare(name), root.hydra.runtime.choices
    value = choices[key] if key in choices else OmegaConf.select(root, key)
    return in_grammar(OmegaConf.to_container(value) if OmegaConf.is_config(value) else value)


def points(space: Mapping[str, Distribution]) -> Iterator[dict[str, Any]]:
    """All combinations of a discrete space, the last parameter changing fastest.

    Optuna's own grid takes the combination of a killed trial for done, and shuffles.

    Raises:
        ConfigError: a parameter has values without end.
    """
    for name in (name for name, one in space.items() if one.values is None):
        raise ConfigError(
            f"A grid has no end over {name}; give it as choice(..) or range(a,b), or take another "
            "sweep.sampler."
        )
    for combination in itertools.product(*(one.values or [] for one in space.values())):
        yield dict(zip(space, combination, strict=True))


def next_point(
    space: Mapping[str, Distribution], trials: Sequence[FrozenTrial]
) -> dict[str, Any] | None:
    """The first combination that no trial that counts has; None where each had its turn.

    One whose trials ended their process comes after all others, and is given up at last.
    """
    taken = {_key(trial) for trial in trials if counts(trial)}
    deaths = {key: len(numbers) for key, numbers in _deaths(trials).items()}
    again: list[tuple[int, dict[str, Any]]] = []
    for point in points(space):
        times = deaths.get(key := json.dumps(point, sort_keys=True), 0)
        if key not in taken and not times:
            return point
        if key not in taken and times < TRIES:
            again.append((times, point))
    return min(again, key=lambda one: one[0])[1] if again else None


def given_up(trials: Sequence[FrozenTrial]) -> list[str]:
    """A line on each combination of a grid that is not tried again: `seed=1: its process ...`."""
    taken = {_key(trial) for trial in trials if counts(trial)}
    return [
        f"{', '.join(f'{name}={value}' for name, value in json.loads(key).items())}: its process "
        f"ended each time (trials {', '.join(map(str, numbers))})"
        for key, numbers in _deaths(trials).items()
        if key not in taken and len(numbers) >= TRIES
    ]


def begins_as_it_stands(trials: Sequence[FrozenTrial]) -> bool:
    """Whether the next trial of a search takes the configuration's own values.

    Not where these have ended their process too often: other values may not.

    Args:
        trials: all before it.
    """
    return not any(map(counts, trials)) and sum(map(_died, trials)) < TRIES


def _deaths(trials: Sequence[FrozenTrial]) -> dict[str, list[int]]:
    """Combination of a grid -> the trials of it that ended their process without a word."""
    found: dict[str, list[int]] = {}
    for trial in trials:
        if _died(trial) and POINT in trial.user_attrs:
            found.setdefault(_key(trial), []).append(trial.number)
    return found


def _died(trial: FrozenTrial) -> bool:
    return trial.state == TrialState.FAIL and trial.user_attrs.get(RETIRED) == DIED


def _key(trial: FrozenTrial) -> str:
    return json.dumps(trial.user_attrs.get(POINT, trial.params), sort_keys=True)


def draw_again(
    study: optuna.Study,
    trial: FrozenTrial,
    sampler: BaseSampler,
    excess: Callable[[optuna.Trial], float],
    tries: int,
) -> dict[str, Any]:
    """The parameters of the first draw that is new and within the limits, or else of the nearest.

    Args:
        study: nothing of a draw is left in it.
        trial: a running one of it, which gets the parameters.
        sampler: draws; a new one, for Optuna's keep to one study each.
        excess: how far over the limits a draw is, 0 within them.
        tries: how many draws at most, from 1.
    """
    others = [one for one in study.get_trials(deepcopy=False) if one.number != trial.number]
    drafts = draft_study(others, study, sampler)
    known = [one.params for one in others if counts(one)]
    best: dict[str, Any] = {}
    smallest = math.inf
    for _ in range(tries):
        draft = drafts.ask()
        over = excess(draft)
        over = math.inf if draft.params in known else over
        if over < smallest or not best:
            best, smallest = draft.params, over
        if not over:
            break
    return best
