"""Values that are known before a trial begins: of a study's first, of a grid, or drawn again."""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import optuna
from omegaconf import DictConfig, OmegaConf
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from lightning_modules.config import in_grammar
from lightning_modules.errors import ConfigError
from lightning_modules.search.drafts import draft_study
from lightning_modules.search.space import Distribution, bare
from lightning_modules.search.trials import counts

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
    """The first combination that no trial that counts has; None where each had its turn."""
    taken = [t.user_attrs.get(POINT, t.params) for t in trials if counts(t)]
    return next((point for point in points(space) if point not in taken), None)


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
