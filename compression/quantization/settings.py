"""The settings of quantisation, declared without torch: a mistake is found before training."""

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, Strict

from compression.errors import CompressionError
from compression.schema import Flag, Fraction, Wanted, declared
from compression.steps import StepSettings

MIN_IMAGES = 16  # images to calibrate on
SENSITIVE = "sensitive"  # among the patterns of `exclude`: what a scan finds


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


@declared()
class QuantizationSettings(StepSettings):
    """The settings that `Quantize` and `QuantizeAware` share.

    Attributes:
        method: how the ranges of activations are found: `percentile` or `minmax`.
        percentile: of the values of an activation that its range covers, in 50..100.
        images: training images to calibrate on, at least 16.
        exclude: name patterns of layers that stay floating; `sensitive` among them, or in their
            place: also as many as it takes to stay within `max_f1_drop`, those first that change
            the logits most when they alone are in eight bits.
        reduce_range: 7-bit weights of what becomes matrix products. With 8 bits, sums overflow on
            x86 processors without VNNI.
        max_f1_drop: the most macro-F1 that may be lost, or None; for who runs the step to check.
    """

    last: ClassVar[bool] = True
    has_modules: ClassVar[bool] = False

    method: Literal["percentile", "minmax"] = "percentile"
    percentile: Annotated[
        float, Strict(), Field(ge=50, le=100), Wanted("a percentage in 50..100")
    ] = 99.99
    images: Annotated[
        int, Strict(), Field(ge=MIN_IMAGES), Wanted(f"a number from {MIN_IMAGES}")
    ] = 256
    exclude: Annotated[
        Sequence[Annotated[str, Strict()]],
        BeforeValidator(_as_list),
        Wanted("`sensitive`, or a list of name patterns"),
    ] = ()
    reduce_range: Flag = True
    max_f1_drop: Annotated[Fraction | None, Wanted("a ratio in 0..1 or null")] = 0.02

    def __post_init__(self) -> None:
        """Refuses to keep what is sensitive without a word on how much may be lost.

        Raises:
            CompressionError: says which setting to give.
        """
        if SENSITIVE in self.exclude and self.max_f1_drop is None:
            raise CompressionError(
                "{place}.exclude=sensitive keeps layers floating until the loss is within "
                "max_f1_drop, which is null; give {place}.max_f1_drop=0.01."
            )


@declared()
class QuantizeSettings(QuantizationSettings):
    """The settings of `Quantize`.

    Attributes:
        activations: `int8`, or `float`: only the weights are rounded, for the size of the file.
            `auto`: `int8` with weights of 8 bits, `float` with those of 4.
        weight_bits: 8, or 4, with which activations are floating.
        min_agreement: with 4 bits: so many of the training images get the class that the floating
            network gives them. Layers have 8 bits, those first that change the logits most for the
            bytes that they save, until it is so; None: none has.
        rounding: of weights: `nearest`, or `second_order`: by what it does to a layer's outputs on
            training images. `auto`: the latter where there are any.
        bias_correction: whether biases take off what the rounding of weights changes the mean of a
            layer's outputs by on training images. `auto`: where there are any.
        float_first: so many first layers stay floating, and the gates; `auto`: what changes the
            logits least on training images that were not calibrated on.
        max_kl: with int8 activations: layers stay floating, those first that change the logits
            most when they alone are in eight bits, until the mean divergence from the floating
            network's probabilities on those images is within so many nats, and half of the layers
            at most; None: no more than `float_first` says.
    """

    name: ClassVar[str] = "quantize"
    fine_tuned: ClassVar[bool] = False

    activations: Literal["auto", "int8", "float"] = "auto"
    weight_bits: Annotated[Literal[8, 4], Wanted("8 or 4")] = 8
    min_agreement: Annotated[Fraction | None, Wanted("a ratio in 0..1 or null")] = 0.98
    rounding: Literal["auto", "nearest", "second_order"] = "auto"
    bias_correction: Literal["auto", True, False] = "auto"
    float_first: Annotated[
        Literal["auto"] | Annotated[int, Strict(), Field(ge=0)],
        Wanted("`auto`, or a number of layers from 0"),
    ] = "auto"
    max_kl: Annotated[
        Annotated[float, Strict(), Field(gt=0)] | None, Wanted("a number of nats above 0, or null")
    ] = 0.0005

    def __post_init__(self) -> None:
        """Refuses impossible settings.

        Raises:
            CompressionError: says which setting to give.
        """
        super().__post_init__()
        if self.weight_bits == 4 and self.activations == "int8":
            raise CompressionError(
                "{place}.weight_bits=4 makes the file small and computes in floating point; give "
                "{place}.activations=float, or leave it at auto."
            )
        floating = self.activations == "float" or self.weight_bits == 4
        if floating and SENSITIVE in self.exclude:
            raise CompressionError(
                "{place}.exclude=sensitive looks for layers that lose too much with int8 "
                "activations, and here they are floating; leave it out."
            )


@declared()
class QuantizeAwareSettings(QuantizationSettings):
    """The settings of `QuantizeAware`.

    Attributes:
        averaging: ratio of each training batch in the ranges; 0 leaves them as they were found.
    """

    name: ClassVar[str] = "quantize_aware"

    averaging: Annotated[Fraction, Wanted("a ratio in 0..1")] = 0.01

    def __post_init__(self) -> None:
        """Refuses impossible settings, and training where torchao is not installed."""
        super().__post_init__()
        require_torchao()


def require_torchao() -> None:
    """Refuses training aware of quantisation where torchao is not installed.

    Raises:
        CompressionError: says how to install it.
    """
    if find_spec("torchao") is None:
        raise CompressionError(
            "quantize_aware needs torchao; install it with: pip install '.[qat]'"
        )
