"""What a setting may be; a refusal says its key, its value and what is allowed.

The one place for "a number, not a bool", "one of these" and the like; imports no torch.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, dataclass_transform

from pydantic import AfterValidator, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from compression import schema
from compression.errors import CompressionError
from compression.schema import AtLeast0 as AtLeast0
from compression.schema import Between0And1 as Between0And1
from compression.schema import Count as Count
from compression.schema import CountFrom0 as CountFrom0
from compression.schema import Flag as Flag
from compression.schema import Fraction as Fraction
from compression.schema import Patterns as Patterns
from compression.schema import Positive as Positive
from compression.schema import Ratio as Ratio
from compression.schema import Text as Text
from compression.schema import Wanted as Wanted
from compression.schema import height_width
from compression.schema import is_number as is_number
from compression.schema import nearest as nearest
from compression.schema import shown as shown
from lightning_modules.errors import ConfigError


@dataclass_transform(kw_only_default=True, field_specifiers=(Field,))
def declared(
    *, more: Literal["forbid", "ignore"] = "forbid", eq: bool = True
) -> Callable[[schema.Class], schema.Class]:
    """`compression.schema.declared`, whose refusals are ConfigErrors."""
    return schema.declared(error=ConfigError, more=more, eq=eq)


def check_settings(declaration: type, settings: Mapping[str, Any], place: str = "") -> Any:
    """An object of a declaration, of a node's plain values; `place` is the node's key.

    Raises:
        ConfigError: for the first mistake.
    """
    return schema.check_settings(declaration, settings, place, error=ConfigError)


def check_target(
    declarations: Mapping[str, type],
    node: Mapping[str, Any],
    place: str,
    *,
    otherwise: type | None = None,
) -> None:
    """Checks what a node tells its `_target_` by what is declared of that.

    Args:
        declarations: by dotted path.
        node: plain values.
        place: its key.
        otherwise: what is declared of all others; None passes them over.

    Raises:
        ConfigError: for the first mistake.
    """
    declaration = declarations.get(str(node.get("_target_")), otherwise)
    if declaration is not None:
        told = {key: value for key, value in node.items() if not key.startswith("_")}  # no _target_
        check_settings(declaration, told, place)


@dataclass(frozen=True)
class whole_from:
    """Annotates whole numbers from `least`, which may also be written as 3.0 or 1e3."""

    least: int

    def validate(self, value: Any) -> Any:
        """The number as it is written.

        Raises:
            PydanticCustomError: it is another, or none.
        """
        if not is_number(value) or not self.least <= value < math.inf or value != int(value):
            raise PydanticCustomError("wanted", f"a whole number >= {self.least}")
        return value

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.validate)


def _height_width(value: Any) -> tuple[int, int]:
    try:
        if not isinstance(value, bool):
            return height_width(value)
    except CompressionError:
        pass
    raise ValueError


ImageSize = Annotated[
    Any, AfterValidator(_height_width), Wanted("pixels, as 64 or [48,64]")
]  # becomes (height, width)


def is_whole(value: Any, least: int = 1) -> bool:
    """True of ints from `least`; not of true and false."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
