"""All targets whose packages are installed."""

from importlib.util import find_spec

from tests.fuzz import (
    binary_targets,
    command_targets,
    data_targets,
    export_targets,
    network_targets,
    run_targets,
)
from tests.fuzz.target import Target

MODULES = (
    data_targets,
    binary_targets,
    run_targets,
    network_targets,
    command_targets,
    export_targets,
)


def targets() -> list[Target]:
    """In a fixed order."""
    every = [target for module in MODULES for target in module.TARGETS]
    return [target for target in every if all(find_spec(name) for name in target.needs)]
