"""Every combination of a discrete space, each once."""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    DiscreteUniformDistribution,
    IntUniformDistribution,
)
from optuna.trial import FrozenTrial

from lightning_modules.errors import ConfigError
from lightning_modules.search.trials import counts


def next_point(
    space: Mapping[str, BaseDistribution], trials: Sequence[FrozenTrial]
) -> dict[str, Any] | None:
    """The first combination that no trial that counts has; None where each had its turn.

    Optuna's own grid takes a killed trial's combination for done.
    """
    taken = {_key(t.system_attrs.get("fixed_params", t.params)) for t in trials if counts(t)}
    return next((point for point in points(space) if _key(point) not in taken), None)


def points(space: Mapping[str, BaseDistribution]) -> Iterator[dict[str, Any]]:
    """All combinations, the last parameter changing fastest."""
    for combination in itertools.product(*(_values(*pair) for pair in space.items())):
        yield dict(zip(space, combination, strict=True))


def _values(name: str, distribution: BaseDistribution) -> list[Any]:
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    if isinstance(distribution, IntUniformDistribution):
        return list(range(distribution.low, distribution.high + 1, distribution.step))
    if isinstance(distribution, DiscreteUniformDistribution):
        steps = round((distribution.high - distribution.low) / distribution.q)
        return [distribution.low + n * distribution.q for n in range(steps + 1)]
    raise ConfigError(
        f"A grid has no end over {name}; give it as choice(..) or range(a,b), or take another "
        "sweep.sampler."
    )


def _key(params: Mapping[str, Any]) -> str:
    return json.dumps(dict(params), sort_keys=True)
