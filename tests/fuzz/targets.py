"""All targets whose packages are installed."""

from importlib.util import find_spec

from tests.fuzz import binary_targets, data_targets
from tests.fuzz.target import Target


def targets() -> list[Target]:
    """In a fixed order."""
    every = [*data_targets.TARGETS, *binary_targets.TARGETS]
    return [target for target in every if all(find_spec(name) for name in target.needs)]
