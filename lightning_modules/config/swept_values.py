"""The values of a sweep as Hydra's grammar reads them back: what was quoted stays a text.

Hydra forgets the quotes inside `choice(..)`: its `choice('ok','nan')` gives a number, and of
`choice('true')`, `choice('null')` and `choice('1e3')` no text is left either.
"""

import math
from typing import Any

from hydra.core.override_parser.types import Override, Transformer

from lightning_modules.config.typed_paths import means_itself
from lightning_modules.runs import quote


def swept_values(override: Override) -> list[Any]:
    """What a discrete sweep gives: numbers and truth values, all else in Hydra's grammar.

    Two that Python takes for equal (1 and true, which Optuna would mistake) are told apart by being
    written out, and so is a NaN, which is not even equal to itself.
    """
    found: list[Any] = []
    for value in override.sweep_iterator():
        plain = in_grammar(value)
        alike = [one for one in found if one == plain and type(one) is not type(plain)]
        odd = isinstance(plain, float) and math.isnan(plain)
        found.append(quote(value) if alike or odd else plain)
    return found


def in_grammar(value: Any) -> Any:
    """A parsed or plain value: numbers as they are, texts quoted where they need it."""
    if isinstance(value, int | float):
        return value
    if isinstance(value, str):
        return value if means_itself(value) else quote(value)
    return Transformer.str(value)


def written(override: Override) -> list[str]:
    """The same, each as it stands on a command line."""
    return [value if isinstance(value, str) else quote(value) for value in swept_values(override)]
