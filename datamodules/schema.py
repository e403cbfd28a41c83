"""What settings of the data may be, declared once; a mistake is one sentence that names its place.

A class that is `declared` has typed fields, and is made out of them. Numbers and pairs of them say
their limits by `Within`.
"""

import contextlib
import dataclasses
import functools
import math
import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, TypeGuard, TypeVar, dataclass_transform, get_args

from pydantic import ConfigDict, Field, GetCoreSchemaHandler, Strict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as validated
from pydantic_core import CoreSchema, core_schema

from datamodules.errors import DataError

Class = TypeVar("Class", bound=type)
Size = tuple[int, int]  # height, width in pixels
Interval = tuple[float, float]  # smallest, largest


@dataclasses.dataclass(frozen=True)
class Within:
    """Annotates an int, a float, or a pair of them with their limits, both included.

    Attributes:
        low: smallest that is allowed.
        high: largest that is allowed.
        words: the same for people; by default "a number in low..high" and the like.
    """

    low: float
    high: float = math.inf
    words: str = ""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        kind, pair = (get_args(source) or (source,))[0], bool(get_args(source))
        high = None if math.isinf(self.high) else self.high
        limits = Field(ge=self.low, le=high, allow_inf_nan=None if kind is int else False)
        schema = handler.generate_schema(Annotated[kind, Strict(), limits])
        words = f"from {self.low} on" if high is None else f"in {self.low}..{high}"
        words = f"a {'whole ' * (kind is int)}number {words}"
        if pair:
            words = f"[smallest, largest] within {self.low}..{self.high}"
            schema = core_schema.tuple_schema([schema, schema])
        if pair and kind is float:
            schema = core_schema.no_info_after_validator_function(_in_order, schema)
        return core_schema.custom_error_schema(
            schema, "wanted", custom_error_message=self.words or words
        )


def _in_order(pair: Interval) -> Interval:
    if pair[0] > pair[1]:
        raise ValueError
    return pair


Probability = Annotated[float, Within(0, 1, "a probability in 0..1")]
Grid = Annotated[tuple[int, int], Within(1, 64, "[rows, columns] of 1..64 each")]
Flag = Annotated[bool, Strict()]


@dataclass_transform(kw_only_default=True)
def declared(cls: Class) -> Class:
    """Makes a class out of its typed fields, all given by keyword and validated.

    Its `__post_init__` may go on. What is wrong is said of `place.FIELD`, by default the name of
    the class, or of what `keys` says of the field; both are class variables.

    Raises:
        DataError: by its constructor, for the first mistake.
    """
    # Built at the first object, as building takes longer than importing.
    config = ConfigDict(extra="forbid", arbitrary_types_allowed=True, defer_build=True)
    made: Any = validated(cls, kw_only=True, eq=False, config=config)
    make = made.__init__

    @functools.wraps(make)
    def __init__(self: Any, **settings: Any) -> None:
        keys = getattr(self, "keys", {})
        place = getattr(self, "place", type(self).__name__)
        known = {name: f"{place}.{name}" for name in made.__pydantic_fields__} | keys
        earlier = vars(self).copy()  # of a subclass's own constructor; pydantic drops it
        try:
            with _refusals(place, known):
                make(self, **settings)
        finally:
            made.__init__ = __init__  # where pydantic puts its own when it builds
        vars(self).update(earlier)

    made.__init__ = __init__
    return made


def checked(key: str, value: Any, kind: Any) -> Any:
    """A value of an annotated type.

    Raises:
        DataError: it is none.
    """
    with _refusals(key, {}):
        return TypeAdapter(kind).validate_python(value)


@contextlib.contextmanager
def _refusals(place: str, keys: dict[str, str]) -> Iterator[None]:
    """Turns the first of pydantic's findings into one sentence."""
    try:
        yield
    except ValidationError as found:
        raise DataError(_sentence(found, place, keys)) from None


def _sentence(found: ValidationError, place: str, keys: dict[str, str]) -> str:
    first = found.errors(include_url=False)[0]
    name = str(first["loc"][0]) if first["loc"] else ""
    key = keys.get(name, ".".join(part for part in (place, name) if part))
    match first["type"]:
        case "value_error":  # of a `__post_init__`, which says it all
            return str(first["ctx"]["error"])
        case "missing" | "missing_argument" | "missing_keyword_only_argument":
            return f"{key} has no value; give it as {key}=..."
        case "unexpected_keyword_argument":
            return f"There is no key {key}; there are {', '.join(keys)}."
        case "literal_error":
            names = re.findall(r"'([^']*)'", first["ctx"]["expected"])
            return f"{key}={first['input']} does not exist; there are {', '.join(names)}."
        case "wanted":
            wanted = first["msg"]
        case "bool_type":
            wanted = "true or false"
        case _:
            wanted = first["msg"].removeprefix("Input should be ")
    return f"{key}={first['input']} is not allowed; give {wanted}."


def is_number(value: Any) -> TypeGuard[float]:
    """Whether it is a finite number; `true` and `false` are none, though Python counts them."""
    return is_whole(value) or (isinstance(value, float) and math.isfinite(value))


def is_whole(value: Any) -> TypeGuard[int]:
    """Whether it is a whole number, written without a point."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_name(value: Any) -> TypeGuard[str]:
    """Whether it is text that can be a file's or a class's name, and be written as UTF-8."""
    if type(value) is not str or not value.strip() or "\0" in value:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON and YAML can hold
        return False
    return True


def as_size(image_size: int | Sequence[int]) -> Size:
    """(height, width) of a square's side or of [H, W], in pixels.

    Raises:
        DataError: it is neither.
    """
    pair = tuple(image_size) if isinstance(image_size, list | tuple) else (image_size, image_size)
    if len(pair) != 2 or not all(is_whole(side) and side >= 1 for side in pair):
        raise DataError(
            f"image_size={image_size} is not a size: give a whole number of pixels or [H, W]."
        )
    return pair[0], pair[1]
