"""What settings may be, declared once: types that know their limits in words, and `declared`.

A declaration is a class with one typed field a setting. It checks what a configuration says before
torch is imported, and makes the constructor of the class that has the settings. It refuses with one
sentence: the key, the value, what is allowed.
"""

import contextlib
import dataclasses
import functools
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Annotated, Any, Literal, TypeVar, cast, dataclass_transform

from pydantic import ConfigDict, Field, GetCoreSchemaHandler, Strict, ValidationError
from pydantic.dataclasses import dataclass as validated
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from compression.errors import CompressionError

Class = TypeVar("Class", bound=type)


@dataclasses.dataclass(frozen=True)
class Wanted:
    """Annotates a type with what is allowed, as in "it must be a ratio in (0, 1]"."""

    words: str

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        words = self.words.replace("{", "{{").replace("}", "}}")  # pydantic's templates
        return core_schema.custom_error_schema(
            handler(source), "wanted", custom_error_message=words
        )


FINITE = Field(allow_inf_nan=False)
Ratio = Annotated[float, Strict(), Field(gt=0, le=1), Wanted("a ratio in (0, 1]")]
Fraction = Annotated[float, Strict(), Field(ge=0, le=1), Wanted("in 0..1")]
Between0And1 = Annotated[float, Strict(), Field(gt=0, lt=1), Wanted("between 0 and 1")]
Positive = Annotated[float, Strict(), FINITE, Field(gt=0), Wanted("above 0")]
AtLeast0 = Annotated[float, Strict(), FINITE, Field(ge=0), Wanted("at least 0")]
Count = Annotated[int, Strict(), Field(ge=1), Wanted("a number from 1")]
CountFrom0 = Annotated[int, Strict(), Field(ge=0), Wanted("a number from 0")]
Flag = Annotated[bool, Strict(), Wanted("true or false")]
Text = Annotated[str, Strict(), Wanted("text")]
Patterns = Annotated[
    Sequence[Annotated[str, Strict()]], Wanted("a list of name patterns, as ['body.*']")
]


def choice_error(names: Iterable[str | None], more: str = "") -> PydanticCustomError:
    """What a validator raises for a value that is none of these names."""
    known = [shown(name) for name in names]
    return PydanticCustomError("choice", "one of several", {"names": known, "more": more})


@dataclass_transform(kw_only_default=True, field_specifiers=(Field,))
def declared(
    *,
    error: type[Exception] = CompressionError,
    more: Literal["forbid", "ignore"] = "forbid",
    eq: bool = True,
) -> Callable[[Class], Class]:
    """Makes a class out of its typed fields, all given by keyword and validated.

    Its `__post_init__` may check what fields have to do with each other, and raise a `ValueError`;
    where that says `{place}`, the key of the node is put. A subclass inherits all of this.

    Args:
        error: what a refusal raises.
        more: whether keys that are not declared are refused, or are somebody else's to check.
        eq: whether objects of the same settings are equal; if not, each is hashed as itself.
    """

    def decorate(cls: Class) -> Class:
        config = ConfigDict(extra=more, defer_build=True, arbitrary_types_allowed=True)
        made: Any = validated(cls, kw_only=True, eq=eq, config=config)

        @functools.wraps(made.__init__)
        def __init__(self: Any, **settings: Any) -> None:
            place = getattr(self, "name", type(self).__name__)
            earlier = vars(self).copy()  # of a subclass's own constructor; pydantic drops it
            with refusals(place, keys=_keys(made), error=error):
                made.__init__(self, **settings)
            vars(self).update(earlier)

        # A subclass: pydantic puts its own constructor back where it builds a class late.
        own = {name: getattr(cls, name) for name in ("__module__", "__qualname__", "__doc__")}
        own |= {"__init__": __init__, "__signature__": _signature(made), "__declared__": True}
        return cast(Class, type(cls.__name__, (made,), own))

    return decorate


def check_settings(
    declaration: type,
    settings: Mapping[str, Any],
    place: str,
    *,
    error: type[Exception] = CompressionError,
) -> Any:
    """An object of the declaration, of a node of a configuration.

    Args:
        declaration: made by `declared`.
        settings: plain values; what is missing has its default.
        place: the node's key, such as `compression.prune`; empty for the whole configuration.
        error: what a refusal raises.

    Raises:
        CompressionError: or `error`, for the first mistake.
    """
    made: Any = declaration
    with refusals(place, keys=_keys(made), error=error):
        return made.__pydantic_validator__.validate_python(dict(settings))


def _keys(declaration: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(declaration)]


def _signature(declaration: Any) -> inspect.Signature:
    """Of the constructor, whose arguments `inspect` and Hydra ask for."""
    keyword, parameters = inspect.Parameter.KEYWORD_ONLY, []
    for field in dataclasses.fields(declaration):
        value = inspect.Parameter.empty if field.default is dataclasses.MISSING else field.default
        parameters.append(
            inspect.Parameter(field.name, keyword, default=value, annotation=field.type)
        )
    return inspect.Signature(parameters)


@contextlib.contextmanager
def refusals(
    place: str, *, keys: Iterable[str] = (), error: type[Exception] = CompressionError
) -> Iterator[None]:
    """Turns pydantic's findings into one sentence on the first of them.

    Args:
        place: key of the node that is validated.
        keys: that it may have.
        error: what a refusal raises.
    """
    try:
        yield
    except ValidationError as found:
        raise error(_sentence(found, place, list(keys))) from None


def _sentence(found: ValidationError, place: str, keys: list[str]) -> str:
    first = found.errors(include_url=False)[0]
    value, context = shown(first["input"]), first.get("ctx", {})
    parts = [place, *(str(part) for part in first["loc"])]
    key = ".".join(part for part in parts if part)
    match first["type"]:
        case "value_error":  # of a `__post_init__`, which has no key of its own
            return str(context["error"]).replace("{place}", key)
        case "missing" | "missing_argument" | "missing_keyword_only_argument":
            return f"{key} has no value; give it as {key}=..."
        case "unexpected_keyword_argument" | "extra_forbidden":
            return f"There is no key {key}{nearest(parts[-1], keys)}; there are {', '.join(keys)}."
        case "choice":
            names = context["names"]
        case "literal_error":
            names = re.findall(r"'([^']*)'|(None|True|False)", context["expected"])
            names = [name or {"None": "null"}.get(other, other.lower()) for name, other in names]
        case _:
            wanted = first["msg"].removeprefix("Input should be ")
            return f"{key}={value} is not allowed; it must be {wanted}."
    more = context.get("more", "")
    return (
        f"{key}={value} does not exist{nearest(value, names)}; there are {', '.join(names)}{more}."
    )


def shown(value: Any) -> str:
    """A value as it is typed: null, true, false; all others as Python shows them to people."""
    return {None: "null", True: "true", False: "false"}[value] if _is_word(value) else str(value)


def _is_word(value: Any) -> bool:
    return value is None or isinstance(value, bool)


def nearest(word: Any, known: Iterable[str]) -> str:
    """` (did you mean x?)` for the known name that is nearest to a word; empty where none is."""
    near = get_close_matches(str(word), list(known), n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def is_number(value: Any) -> bool:
    """True of whole and other numbers; not of true and false."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def height_width(image_size: int | Sequence[int]) -> tuple[int, int]:
    """`image_size` as (height, width) in pixels; an int means a square.

    Raises:
        CompressionError: it is neither a positive int nor two of them.
    """
    size = [image_size, image_size] if isinstance(image_size, int) else image_size
    try:
        height, width = size
        if height >= 1 and width >= 1 and int(height) == height and int(width) == width:
            return int(height), int(width)
    except (TypeError, ValueError):
        pass
    raise CompressionError(
        f"An image size is a positive int or [height, width] in pixels, not {image_size!r}."
    )
