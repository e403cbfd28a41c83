"""What a loss may be told; declared without torch, so that a mistake costs a second."""

import math
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from pydantic import Field, Strict

from lightning_modules.runs.class_samplers import CLASS_WEIGHTS
from lightning_modules.schema import AtLeast0, Fraction, Positive, Wanted, declared

Beta = Annotated[float, Strict(), Field(ge=0, lt=1), Wanted("at least 0 and below 1")]
Angle = Annotated[
    float, Strict(), Field(ge=0, le=math.pi / 2), Wanted("an angle in 0..1.57 (radians)")
]


@declared(eq=False)  # losses are modules, which are hashed as themselves
class LossSettings:
    """Of all losses.

    Attributes:
        class_weights: none, balanced, sqrt, effective_number, the name of a sampler that an
            installed package offers, or one's own (see `datamodules.loading.class_weights`).
        beta: of effective_number.
        label_smoothing: fraction of every target that is spread evenly over all classes.
        class_counts: training images of each class; needed for all weights but none.
    """

    name: ClassVar[str] = "loss"  # the key that a refusal of the constructor names

    class_weights: Annotated[Any, CLASS_WEIGHTS] = "none"
    beta: Beta = 0.999
    label_smoothing: Fraction = 0.0
    class_counts: Sequence[int] | None = None

    def __post_init__(self) -> None: ...


@declared(eq=False)
class FocalSettings(LossSettings):
    """Of `Focal`; 0 is cross-entropy, the paper's best is 2."""

    gamma: AtLeast0 = 2.0


@declared(eq=False)
class LogitAdjustmentSettings(LossSettings):
    """Of `LogitAdjustment`; 0 is cross-entropy, 1 is consistent for the balanced error."""

    tau: AtLeast0 = 1.0


@declared(eq=False)
class ArcFaceSettings(LossSettings):
    """Of `ArcFace`; the paper has a margin of 0.5 for tens of thousands of faces."""

    margin: Angle = 0.3
    scale: Positive = 16.0


@declared(eq=False)
class F1CrossEntropySettings(LossSettings):
    """Of `F1CrossEntropy`: how much each of the two counts."""

    f1_weight: AtLeast0 = 1.0
    cross_entropy_weight: AtLeast0 = 1.0


@declared(eq=False)
class F1FocalSettings(FocalSettings):
    """Of `F1Focal`: how much each of the two counts."""

    f1_weight: AtLeast0 = 1.0
    focal_weight: AtLeast0 = 1.0


HERE = "lightning_modules.training.losses"
SETTINGS = {
    f"{HERE}.weighted.CrossEntropy": LossSettings,
    f"{HERE}.focal.Focal": FocalSettings,
    f"{HERE}.logit_adjustment.LogitAdjustment": LogitAdjustmentSettings,
    f"{HERE}.arcface.ArcFace": ArcFaceSettings,
    f"{HERE}.soft_f1.SoftF1": LossSettings,
    f"{HERE}.soft_f1.F1CrossEntropy": F1CrossEntropySettings,
    f"{HERE}.soft_f1.F1Focal": F1FocalSettings,
}
