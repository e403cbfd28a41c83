"""The recipe: what was done to a network, in order, so that it can be done again without it."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import nn

from compression.errors import CompressionError
from compression.registry import locate
from compression.step import Plan, Step

OWN_CODE = "compression"


@dataclass(frozen=True)
class Entry:
    """One round of one step."""

    step: str  # dotted path of the step's class
    version: int  # of what the plan means
    plan: Plan

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
        return cls(f"{kind.__module__}.{kind.__qualname__}", step.version, plain)

    def step_class(self, trust: Iterable[str] = ()) -> Any:
        """The class of the step, if its code is this package's or inside a trusted one.

        Raises:
            CompressionError: foreign or unknown code, or another version of the step.
        """
        kind = locate(self.step, [OWN_CODE, *trust])
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


@dataclass
class Recipe:
    """The entries in the order in which they were applied."""

    entries: list[Entry] = field(default_factory=list)

    def to_json(self) -> str:
        """The entries as JSON text, which `from_json` reads."""
        return json.dumps({"schema": 1, "entries": [asdict(entry) for entry in self.entries]})

    @classmethod
    def from_json(cls, text: str) -> "Recipe":
        """Read what `to_json` wrote.

        Raises:
            CompressionError: the text is no recipe.
        """
        try:
            content = json.loads(text)
            if content["schema"] != 1:
                raise CompressionError(f"This recipe has the unknown schema {content['schema']!r}.")
            return cls([Entry(e["step"], e["version"], e["plan"]) for e in content["entries"]])
        except (ValueError, KeyError, TypeError) as error:
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
                lines += [f"{kind.name}: {line}" for line in kind.describe(entry.plan)]
        return lines

    def layers(self, *, trust: Iterable[str] = ()) -> list[tuple[str, str, str]]:
        """(step, layer, what was done to it and why), in order; of foreign code nothing is told."""
        return [
            (kind.name, layer, what)
            for entry in self.entries
            if (kind := entry.known_class(trust)) is not None
            for layer, what in kind.describe_layers(entry.plan).items()
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
            except (AttributeError, KeyError, TypeError, IndexError, RuntimeError) as error:
                raise CompressionError(
                    f"Step {number} of the recipe ({entry.step}) was made for another "
                    f"architecture: {error}."
                ) from error
        return network
