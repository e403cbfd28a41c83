"""What a run may say at its top level; groups are declared beside their components."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, Strict

from lightning_modules.runs.class_samplers import SAMPLING
from lightning_modules.schema import (
    Count,
    Flag,
    ImageSize,
    Positive,
    Text,
    Wanted,
    declared,
    whole_from,
)

Switch = Annotated[Flag | None, Wanted("true, false or null")]
Packages = Annotated[Sequence[Text], Wanted("a list of packages, as [my_package]")]
F1 = Annotated[float, Strict(), Field(gt=0, le=1), Wanted("in 0..1, and not 0")]


@declared(more="ignore")
class DataSettings:
    """Of `data`, besides the source: it has its own."""

    image_size: ImageSize
    batch_size: Annotated[float, whole_from(2)]  # BatchNorm cannot train on one image


@declared(more="ignore")
class LatencySettings:
    """Of `latency`, besides the backend: it is found by name."""

    threads: Count
    batch: Count


@declared(more="ignore")
class MacsScoreSettings:
    """Of `score.macs`."""

    reference_macs: Positive
    reference_f1: F1


@declared(more="ignore")
class TimeScoreSettings:
    """Of `score.time`."""

    reference_seconds: Positive


@declared(more="ignore")
class ScoreSettings:
    """Of `score`."""

    split: Literal["val", "test"]
    macs: MacsScoreSettings
    time: TimeScoreSettings


@declared(more="ignore")
class RunSettings:
    """Of the whole configuration."""

    data: DataSettings
    seed: Annotated[float, whole_from(0)]
    trust: Packages = ()
    sampling: Annotated[Any, SAMPLING]
    latency: LatencySettings
    score: ScoreSettings
    teacher_policy: Literal["train", "refuse", None]
    lr_find: Flag
    resume_force: Flag = False
    pictures: Switch
    report: Switch
