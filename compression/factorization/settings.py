"""The settings of factorisations, declared without torch: a mistake is found before training."""

from typing import Any, ClassVar, Literal

from compression.factorization.rank_choice import check_ranks
from compression.schema import Count, Patterns, Ratio, declared
from compression.steps import StepSettings
from compression.target import TargetSetting


@declared()
class FactorizationSettings(StepSettings):
    """The settings that tucker, cp, svd and spatial_svd have in common.

    Attributes:
        ranks: `ratio`, `energy`, `vbmf`, `sensitivity`, `error`, `target` or `optimal`, which
            under a target costs the logits on training images least; or the ranks themselves by
            layer name or pattern, as a mapping or a YAML file of one; or a `Rule`. `target` is
            `error` where there are training images, else `energy`. None: `target` if one is given,
            else `ratio`.
        ratio: rank as a ratio of the channels (or rank) entering the step, in (0, 1].
        energy: ratio of the squared singular values to keep, in (0, 1]; of the outputs, where
            `whiten` holds.
        vbmf: how far to go from the full rank to the one that EVBMF finds, in (0, 1].
        sensitivity: macro-F1 that a layer may lose alone, in (0, 1]; each round begins with a scan
            (see `sensitivity`), which needs labelled images.
        error: ratio of the variance of its outputs that a layer may lose, the mean of all, in
            (0, 1]; shared out so that they cost the least.
        target: cost to reach by bisection over the number of the rule, as `{"macs": 0.5}`,
            `{"params": 0.5}`, `{"file_bytes": 0.5}` or `{"latency": 0.6}`, which is measured and
            implies `prefer=latency`.
        rounds: in how many rounds to get there.
        whiten: `auto` fits ranks and weights to the outputs on training images where there are any,
            instead of to the weights that were there; true insists on it, false never does. Then
            layer after layer is fitted to what it is given after those before it, if the logits on
            images that were not fitted to come nearer by that.
        groups: `leave` grouped convolutions alone, or `split` each group's part.
        prefer: `macs` factorises whatever gets cheaper; `latency` only what also measures faster
            in onnxruntime, with one thread, for one image of the network's own size.
        include: name patterns of the layers to factorise.
        exclude: name patterns of layers to leave alone.
    """

    searched: ClassVar[str | None] = "ratio"

    ranks: Any = None
    ratio: Ratio = 0.5
    energy: Ratio = 0.9
    vbmf: Ratio = 0.7
    sensitivity: Ratio = 0.01
    error: Ratio = 0.05
    target: TargetSetting = None
    rounds: Count = 1
    whiten: Literal["auto", True, False] = "auto"
    groups: Literal["leave", "split"] = "leave"
    prefer: Literal["macs", "latency"] = "macs"
    include: Patterns = ("*",)
    exclude: Patterns = ()

    def __post_init__(self) -> None:
        """Refuses ranks that cannot be, and a target beside ranks that it cannot choose.

        Raises:
            CompressionError: one sentence on what is wrong.
        """
        check_ranks(self.ranks, "{place}.ranks", solves=self.target is not None)

    @property
    def needs_images(self) -> bool:
        """Whether ranks go by what layers lose on training images."""
        return self.ranks == "optimal"


@declared()
class TuckerSettings(FactorizationSettings):
    """The settings of `Tucker`."""

    name: ClassVar[str] = "tucker"


@declared()
class CPSettings(FactorizationSettings):
    """The settings of `CP`."""

    name: ClassVar[str] = "cp"


@declared()
class SVDSettings(FactorizationSettings):
    """The settings of `SVD`."""

    name: ClassVar[str] = "svd"


@declared()
class SpatialSVDSettings(FactorizationSettings):
    """The settings of `SpatialSVD`: grouped convolutions are split by default."""

    name: ClassVar[str] = "spatial_svd"

    groups: Literal["leave", "split"] = "split"
