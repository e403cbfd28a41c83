"""What a mixing may be told, checked without torch."""

from typing import ClassVar

from lightning_modules.schema import Fraction, Positive, declared

HERE = "lightning_modules.training.mixing"


@declared()
class MixingSettings:
    """Of CutMix or MixUp: how the kept fraction is drawn, and how often a batch is mixed."""

    name: ClassVar[str] = "mixing"

    alpha: Positive
    probability: Fraction


@declared()
class EitherMixingSettings(MixingSettings):
    """Of one of the two for each batch; `alpha` is CutMix's."""

    mixup_alpha: Positive


SETTINGS = {
    f"{HERE}.cut_mix": MixingSettings,
    f"{HERE}.mix_up": MixingSettings,
    f"{HERE}.cut_mix_or_mix_up": EitherMixingSettings,
}
