"""What callbacks may be told, checked without torch."""

from typing import Annotated, Any, ClassVar, Literal

from lightning_modules.schema import Between0And1, Patterns, declared, whole_from

# What is measured in each epoch; a larger value is better where it is no loss.
Monitor = Literal["val/f1", "val/accuracy", "val/loss", "train/loss"]
HERE = "lightning_modules.training.callbacks"
EMA, FREEZING = f"{HERE}.ema.EMA", f"{HERE}.freezing.Freezing"


@declared(more="ignore")
class WatchingSettings:
    """Of what watches a metric, and of callbacks of one's own, whose other keys are theirs."""

    monitor: Monitor | None = None
    mode: Any = None
    patience: Annotated[float, whole_from(0)] = 0

    def __post_init__(self) -> None:
        if self.monitor is None:
            return
        better = "min" if self.monitor.endswith("loss") else "max"
        if self.mode not in (None, better):
            raise ValueError(
                f"{{place}}.mode={self.mode} does not fit {{place}}.monitor={self.monitor}, which "
                f"improves the other way; set {{place}}.mode={better}."
            )


@declared()
class EMASettings:
    """Of `EMA`: the fraction of the average that an update keeps."""

    name: ClassVar[str] = "callbacks.ema"

    decay: Between0And1 = 0.999


@declared()
class FreezingSettings:
    """Of `Freezing`: how many of the first epochs, and which layers."""

    epochs: Annotated[float, whole_from(0)]
    patterns: Patterns | None = None


SETTINGS = {EMA: EMASettings, FREEZING: FreezingSettings}
