"""The settings of `Merge`, declared without torch: a mistake is found before training."""

from typing import ClassVar

from compression.schema import Patterns, declared
from compression.steps import StepSettings


@declared()
class MergeSettings(StepSettings):
    """The settings of `Merge`.

    Attributes:
        include: name patterns of the modules whose branches are merged.
        exclude: name patterns of modules to leave alone.
    """

    name: ClassVar[str] = "merge"
    keeps_outputs: ClassVar[bool] = True
    folds_batch_norm: ClassVar[bool] = True

    include: Patterns = ("*",)
    exclude: Patterns = ()
