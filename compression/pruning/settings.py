"""The settings of the pruning steps, declared without torch: a mistake is found before training.

The steps themselves say what the settings mean.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from compression.errors import CompressionError
from compression.registry import Registry
from compression.schema import (
    Between0And1,
    Count,
    CountFrom0,
    Patterns,
    Positive,
    Ratio,
    Wanted,
    declared,
)
from compression.steps import StepSettings
from compression.target import Target, TargetSetting

IMPORTANCES = Registry(
    kind="importance",
    group="model_diet.importances",
    paths={
        "auto": "compression.pruning.auto_importance:AutoImportance",
        "l1": "compression.pruning.importance:L1",
        "l2": "compression.pruning.importance:L2",
        "bn_scale": "compression.pruning.importance:BNScale",
        "taylor": "compression.pruning.taylor:Taylor",
        "fpgm": "compression.pruning.importance:FPGM",
        "lamp": "compression.pruning.importance:LAMP",
        "random": "compression.pruning.importance:Random",
    },
    methods=("score", "name", "normalized"),
)
PENALTIES = Registry(
    kind="penalty",
    group="model_diet.penalties",
    paths={
        "bn_scale": "compression.pruning.penalties:bn_scales",
        "group_norm": "compression.pruning.penalties:group_norms",
    },
)
Counts = Annotated[Sequence[CountFrom0], Wanted("a list of numbers, as [2, 5, 2]")]


@declared()
class PruneSettings(StepSettings):
    """The settings of `Prune`."""

    name: ClassVar[str] = "prune"
    searched: ClassVar[str | None] = "target.macs"

    target: TargetSetting = None
    ratio: Ratio | None = None
    importance: Annotated[Any, IMPORTANCES] = "auto"
    scope: Literal["global", "uniform", "isomorphic"] = "global"
    ratios: Literal["sensitivity", "optimal"] | None = None
    rounds: Count = 1
    round_to: Count = 8
    min_ratio: Ratio = 0.1
    exclude: Patterns = ()
    penalty: Annotated[Any, PENALTIES] | None = None
    penalty_strength: Positive = 1e-4
    refit: Literal["auto", True, False] = "auto"
    prefer: Literal["macs", "latency"] = "macs"

    def __post_init__(self) -> None:
        """Refuses what excludes each other."""
        if self.ratio is not None and self.target is not None:
            raise CompressionError("{place} takes target ({macs: 0.5}) or ratio, not both.")
        if self.ratio is not None and self.ratios is not None:
            raise CompressionError(
                f"{{place}}.ratios={self.ratios} needs a target; ratio={self.ratio} is the same "
                "ratio for every group of layers."
            )
        if self.ratio is None and self.target is None:
            self.target = Target("macs", 0.6)
        for key, registry in {"importance": IMPORTANCES, "penalty": PENALTIES}.items():
            if registered_name(getattr(self, key), registry) == "bn_scale":
                self.reads_batch_norm = f"{key}=bn_scale"

    @property
    def needs_images(self) -> bool:
        """Whether ratios go by what layers lose on training images."""
        return self.ratios == "optimal"

    @property
    def by_time(self) -> bool:
        """Whether layers are left whole that are no faster with fewer channels."""
        by_latency = self.target is not None and self.target.measure == "latency"
        return by_latency or self.prefer == "latency"


@declared()
class PruneLayersSettings(StepSettings):
    """The settings of `PruneLayers`."""

    name: ClassVar[str] = "prune_layers"
    searched: ClassVar[str | None] = "target.macs"

    keep: Counts | None = None
    remove: Patterns | None = None
    target: TargetSetting = None
    exclude: Patterns = ()
    choose: Literal["first", "last", "importance"] = "last"
    rounds: Count = 1

    def __post_init__(self) -> None:
        """Refuses two answers to how much goes."""
        given = [way for way in ("keep", "remove", "target") if getattr(self, way) is not None]
        if len(given) > 1:
            raise CompressionError(
                f"{{place}} takes keep, remove or target, but was given {' and '.join(given)}."
            )
        if not given:
            self.target = Target("macs", 0.7)


@declared()
class PruneWeightsSettings(StepSettings):
    """The settings of `PruneWeights`."""

    name: ClassVar[str] = "prune_weights"
    searched: ClassVar[str | None] = "sparsity"

    sparsity: Between0And1 = 0.8
    scope: Literal["global", "uniform"] = "global"
    rounds: Count = 1
    include: Patterns = ("*",)
    exclude: Patterns = ()


def registered_name(part: Any, registry: Registry) -> str | None:
    """What a registry calls the part that a setting names, or an object of it."""
    if isinstance(part, str):
        return part
    if isinstance(part, Mapping):
        return registry.name_of(str(part.get("_target_")))
    kind = part if hasattr(part, "__qualname__") else type(part)  # a function, or of a class
    return registry.name_of(f"{kind.__module__}.{kind.__qualname__}")
