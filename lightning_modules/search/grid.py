"""Every combination of a discrete space, each once.

Optuna's own grid takes the combination of a killed trial for done.
"""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from optuna.trial import FrozenTrial

from lightning_modules.errors import ConfigError
from lightning_modules.search.distributions import Distribution
from lightning_modules.search.trials import counts

POINT = "point"  # the trial's user attribute: its combination, known before its parameters are


def next_point(
    space: Mapping[str, Distribution], trials: Sequence[FrozenTrial]
) -> dict[str, Any] | None:
    """The first combination that no trial that counts has; None where each had its turn."""
    taken = {_key(t.user_attrs.get(POINT, t.params)) for t in trials if counts(t)}
    return next((point for point in points(space) if _key(point) not in taken), None)


def points(space: Mapping[str, Distribution]) -> Iterator[dict[str, Any]]:
    """All combinations, the last parameter changing fastest.

    Raises:
        ConfigError: a parameter has values without end.
    """
    values = {name: one.values() for name, one in space.items()}
    for name in (name for name, found in values.items() if found is None):
        raise ConfigError(
            f"A grid has no end over {name}; give it as choice(..) or range(a,b), or take another "
            "sweep.sampler."
        )
    for combination in itertools.product(*(found or [] for found in values.values())):
        yield dict(zip(space, combination, strict=True))


def _key(params: Mapping[str, Any]) -> str:
    return json.dumps(dict(params), sort_keys=True)
