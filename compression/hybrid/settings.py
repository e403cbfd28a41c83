"""The settings of `Hybrid`, declared without torch: a mistake is found before training."""

from typing import Annotated, Any, ClassVar, Literal

from compression.pruning.settings import IMPORTANCES, registered_name
from compression.schema import Count, Patterns, Ratio, declared
from compression.steps import StepSettings
from compression.target import Target, TargetSetting


@declared()
class HybridSettings(StepSettings):
    """The settings of `Hybrid`.

    Attributes:
        target: `{macs: 0.5}`, `{params: 0.5}`, `{file_bytes: 0.5}` or `{latency: 0.6}` (measured)
            of the network entering the step; `{macs: 0.6}` where none is given.
        importance: of channels, see `Prune`.
        rounds: in how many rounds to get there.
        round_to: numbers of channels are multiples of it, see `Prune`.
        min_ratio: of its channels that every group of layers keeps at least.
        exclude: name patterns of layers to leave alone.
        whiten: whether products are fitted to the outputs on training images, see
            `FactorizationSettings`.
        refit: whether layers that lose inputs are refitted on them, see `Prune`.
    """

    name: ClassVar[str] = "hybrid"
    searched: ClassVar[str | None] = "target.macs"

    target: TargetSetting = None
    importance: Annotated[Any, IMPORTANCES] = "auto"
    rounds: Count = 1
    round_to: Count = 8
    min_ratio: Ratio = 0.1
    exclude: Patterns = ()
    whiten: Literal["auto", True, False] = "auto"
    refit: Literal["auto", True, False] = "auto"

    def __post_init__(self) -> None:
        """Gives the target that is meant where none is given; says what reads BatchNorm."""
        if self.target is None:
            self.target = Target("macs", 0.6)
        if registered_name(self.importance, IMPORTANCES) == "bn_scale":
            self.reads_batch_norm = "importance=bn_scale"

    @property
    def needs_images(self) -> bool:
        """It does: choices go by what layers lose on training images."""
        return True
