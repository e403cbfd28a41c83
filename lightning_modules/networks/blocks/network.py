"""A network built from rows."""

import math
from collections import OrderedDict
from typing import Any, cast

from torch import Tensor, nn

from lightning_modules.errors import ConfigError
from lightning_modules.networks.blocks.registry import FLAT, MAP, POINT
from lightning_modules.networks.blocks.rows import NUM_CLASSES, Blocks, Row, read_rows
from lightning_modules.networks.blocks.scaling import scale_arguments, scale_repeat
from lightning_modules.schema import is_number

SHAPES = {MAP: "N x C x H x W", POINT: "N x C x 1 x 1", FLAT: "N x C"}


class RowBlocks(nn.Sequential):
    """The repeats of one row: `0`, `1`, ...; `row` is what it was built from, already scaled."""

    def __init__(self, row: Row, units: list[nn.Module]) -> None:
        super().__init__(*units)
        self.row = row

    def forward(self, x: Tensor) -> Tensor:
        """What the kind takes -> what it gives; refuses a map that would fall below 1 x 1."""
        for unit in self:
            least = getattr(unit, "min_side", 1)
            if x.ndim == 4 and min(x.shape[-2:]) < least:
                height, width = x.shape[-2:]
                raise ConfigError(
                    f"{self.row}: the feature map falls below 1 x 1: {height} x {width} come in, "
                    f"and at least {least} x {least} are needed"
                )
            x = unit(x)
        return x


class BlockNetwork(nn.Module):
    """Normalised N x 3 x H x W -> logits N x `num_classes`.

    Args:
        num_classes: outputs of the last row; stands for `num_classes` in a row.
        blocks: rows, see `rows.read_rows`.
        depth_multiple: factor on all repeats above 1.
        width_multiple: factor on the channels of the kinds that scale.

    Raises:
        ConfigError: says which row is wrong, and what of it.
    """

    reads_rows = True  # a `_target_` in them is a kind, which is not for Hydra to build

    def __init__(
        self,
        *,
        num_classes: int,
        blocks: Blocks,
        depth_multiple: float = 1.0,
        width_multiple: float = 1.0,
    ) -> None:
        super().__init__()
        _check_multiple("depth_multiple", depth_multiple)
        _check_multiple("width_multiple", width_multiple)
        self.num_classes = num_classes
        self.blocks = nn.Sequential(OrderedDict())
        channels, form = 3, MAP
        for row in read_rows(blocks):
            _check_form(row, form)
            row = _scaled(row, depth_multiple, width_multiple)
            units = _units(row, channels, num_classes)
            self.blocks.add_module(row.name, RowBlocks(row, units))
            channels, form = cast(int, units[-1].out_channels), row.block_type.gives or form
        _check_head(row, channels, form, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Normalised N x 3 x H x W -> logits N x classes."""
        return self.blocks(x).flatten(1)  # a head of convolutions ends in N x classes x 1 x 1


def _check_multiple(name: str, value: Any) -> None:
    if not is_number(value) or not 0 < value < math.inf:
        raise ConfigError(f"model.{name}={value}; it must be a number above 0.")


def _check_form(row: Row, form: str) -> None:
    if form in row.block_type.takes:
        return
    wanted = " or ".join(SHAPES[taken] for taken in row.block_type.takes)
    hint = ""
    if form == MAP:
        hint = "; put GlobalAvgPool before it"
    elif form == POINT:
        hint = "; put Flatten before it"
    raise ConfigError(f"{row}: it takes {wanted}, but {SHAPES[form]} comes in{hint}.")


def _scaled(row: Row, depth_multiple: float, width_multiple: float) -> Row:
    arguments = scale_arguments(row.arguments, row.block_type.scaled, width_multiple)
    repeat = scale_repeat(row.repeat, depth_multiple)
    return Row(row.number, row.name, repeat, row.block_type, arguments)


def _units(row: Row, channels: int, num_classes: int) -> list[nn.Module]:
    arguments = {k: num_classes if v == NUM_CLASSES else v for k, v in row.arguments.items()}
    strided = {"first": (0,), "last": (row.repeat - 1,), "all": range(row.repeat)}[
        row.block_type.stride
    ]
    units = []
    for position in range(row.repeat):
        own = arguments if position in strided else {**arguments, "s": 1}
        try:
            units.append(row.block_type.make(channels, **own))
        except ConfigError as error:
            raise ConfigError(f"{row}: {error}") from None
        except (ValueError, RuntimeError) as error:  # torch's own refusals, such as of groups
            raise ConfigError(f"{row}: {str(error).rstrip('.')}.") from error
        channels = cast(int, units[-1].out_channels)
    return units


def _check_head(row: Row, channels: int, form: str, num_classes: int) -> None:
    if form == MAP:
        raise ConfigError(
            f"{row}: the last row gives a feature map, not one number a class; end with "
            f"GlobalAvgPool and FixedConv, or GlobalAvgPool, Flatten and Linear."
        )
    if channels != num_classes:
        raise ConfigError(
            f"{row}: the last row gives {channels} numbers, but the data has {num_classes} "
            f"classes; write num_classes there."
        )
