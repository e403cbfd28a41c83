"""The recipe: what was done to a network, in order, so that it can be done again without it.

It names the steps of this package as they are registered, so that a recipe outlives every move of
a file. A step of anybody else's is stored by the path of its class and run only where its package
is trusted: what an installed package registers is never loaded because a file names it.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pkgutil import resolve_name
from typing import Any, TypeVar

from torch import nn

from compression.errors import CompressionError
from compression.registry import locate
from compression.step import Plan, Step
from compression.steps import STEPS

SCHEMA = 2
OWN_CODE = "compression"
Told = TypeVar("Told", list[str], dict[str, str])
# What a plan of another form makes of the step that takes it apart.
DAMAGE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
# Recipes of schema 1 named a class by where it lay then; the right side is what STEPS has.
FORMER_PATHS = {
    "compression.pruning.prune.Prune": "prune",
    "compression.pruning.prune_layers.PruneLayers": "prune_layers",
    "compression.pruning.prune_weights.PruneWeights": "prune_weights",
    "compression.factorization.tucker.Tucker": "tucker",
    "compression.factorization.cp.CP": "cp",
    "compression.factorization.svd.SVD": "svd",
    "compression.factorization.spatial_svd.SpatialSVD": "spatial_svd",
    "compression.quantization.quantize.Quantize": "quantize",
    "compression.quantization.quantize_aware.QuantizeAware": "quantize_aware",
}


@dataclass(frozen=True)
class Entry:
    """One round of one step.

    Attributes:
        step: a name of `STEPS`; of somebody's own step the dotted path of its class. A path that a
            step of this package had in schema 1 becomes its name.
        version: of the plan's schema.
        plan: what the step decided.
    """

    step: str
    version: int
    plan: Plan

    def __post_init__(self) -> None:
        if isinstance(self.step, str):
            object.__setattr__(self, "step", FORMER_PATHS.get(self.step, self.step))

    @classmethod
    def of(cls, step: Step, plan: Plan) -> "Entry":
        """The entry of `step`; the plan passes through JSON once, so that it replays as stored.

        Raises:
            CompressionError: the plan is not plain data.
        """
        kind = type(step)
        if not isinstance(step, Step):
            raise CompressionError(f"{kind.__qualname__} must derive from compression.Step.")
        try:
            plain = json.loads(json.dumps(plan, allow_nan=False))
        except (TypeError, ValueError) as error:
            raise CompressionError(
                f"The plan of {kind.__qualname__} is not plain JSON data: {error}."
            ) from error
        return cls(step_name(kind), step.version, plain)

    def step_class(self, trust: Iterable[str] = ()) -> Any:
        """The class of the step, if its code is this package's or inside a trusted one.

        Raises:
            CompressionError: an unknown name, foreign or unknown code, or another version of the
                step.
        """
        kind = _registered(self.step) or locate(self.step, [OWN_CODE, *trust])
        if not isinstance(kind, type) or not issubclass(kind, Step):
            raise CompressionError(f"{self.step!r} is not a compression step.")
        if kind.version != self.version:
            raise CompressionError(
                f"The recipe has version {self.version} of {self.step}; this installation has "
                f"version {kind.version}."
            )
        return kind

    def known_class(self, trust: Iterable[str] = ()) -> Any | None:
        """The class of the step, or None where `step_class` would refuse."""
        try:
            return self.step_class(trust)
        except CompressionError:
            return None


def _told(describe: Callable[[Plan], Told], entry: Entry) -> Told:
    """What a step says of its plan.

    Raises:
        CompressionError: the plan is none of that step.
    """
    try:
        return describe(entry.plan)
    except DAMAGE as error:
        raise CompressionError(
            f"The recipe's plan of {entry.step} is none that this step makes: {error!r:.200}."
        ) from error


def step_name(kind: type[Step]) -> str:
    """What a recipe calls a step: its registered name, or the path of anybody else's class."""
    if kind.name in STEPS.paths and _registered(kind.name) is kind:
        return kind.name
    return f"{kind.__module__}.{kind.__qualname__}"


def _registered(name: str) -> Any | None:
    """The class that this package registers under a name; None for a dotted path.

    Raises:
        CompressionError: no step of this package has the name, or its module cannot be imported.
    """
    if not isinstance(name, str) or "." in name:
        return None
    if name not in STEPS.paths:
        raise CompressionError(
            f"The recipe names the step {name!r}, which this version does not have; it has "
            f"{', '.join(STEPS.paths)}."
        )
    try:
        return resolve_name(STEPS.paths[name])
    except (ImportError, AttributeError) as error:
        raise CompressionError(f"The step {name!r} cannot be imported here: {error}.") from error


@dataclass
class Recipe:
    """The entries in the order in which they were applied."""

    entries: list[Entry] = field(default_factory=list)

    def to_json(self) -> str:
        """The entries as JSON text, which `from_json` reads."""
        return json.dumps({"schema": SCHEMA, "entries": [asdict(entry) for entry in self.entries]})

    @classmethod
    def from_json(cls, text: str) -> "Recipe":
        """Read what `to_json` wrote, now or when recipes named classes by path (schema 1).

        Raises:
            CompressionError: the text is no recipe, or one of a later version.
        """
        try:
            content = json.loads(text)
            if content["schema"] not in (1, SCHEMA):
                raise CompressionError(
                    f"This recipe has the unknown schema {content['schema']!r}; this version reads "
                    f"1 and {SCHEMA}."
                )
            return cls([Entry(e["step"], e["version"], e["plan"]) for e in content["entries"]])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            if isinstance(error, CompressionError):
                raise
            raise CompressionError(f"This is not a recipe: {error}.") from error

    def summary(self, *, trust: Iterable[str] = ()) -> list[str]:
        """What was done, for a person; a step of foreign code is only named."""
        lines = []
        for entry in self.entries:
            kind = entry.known_class(trust)
            if kind is None:
                lines.append(entry.step)
            else:
                lines += [f"{kind.name}: {line}" for line in _told(kind.describe, entry)]
        return lines

    def layers(self, *, trust: Iterable[str] = ()) -> list[tuple[str, str, str]]:
        """(step, layer, what was done to it and why), in order; of foreign code nothing is told."""
        return [
            (kind.name, layer, what)
            for entry in self.entries
            if (kind := entry.known_class(trust)) is not None
            for layer, what in dict(_told(kind.describe_layers, entry)).items()
        ]

    def replay(self, network: nn.Module, *, trust: Iterable[str] = ()) -> nn.Module:
        """`network` restructured in place as the recipe says; weights are loaded afterwards.

        Args:
            network: built as the first entry found it; may be on the meta device.
            trust: packages outside this one whose steps may run.

        Raises:
            CompressionError: unknown step or version, or a plan made for another architecture.
        """
        for number, entry in enumerate(self.entries):
            kind = entry.step_class(trust)
            try:
                network = kind.restructure(network, entry.plan)
            except CompressionError:
                raise
            except (*DAMAGE, RuntimeError) as error:
                raise CompressionError(
                    f"Step {number} of the recipe ({entry.step}) was made for another "
                    f"architecture: {error}."
                ) from error
        return network
