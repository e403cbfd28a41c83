"""Class maps: which class each category of an annotation file belongs to."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from datamodules.errors import DataError
from datamodules.schema import is_name

BUNDLED = Path(__file__).parent / "maps"


def read_class_map(name: str) -> dict[str, str | None]:
    """Category name -> class name, or None where the category is dropped.

    Args:
        name: a bundled map (`taco6`) or the path of a YAML file of `category: class` lines.

    Raises:
        DataError: there is no such map, or it is not one.
    """
    path = _bundled().get(str(name), Path(str(name)))
    lines = _read_yaml(path)
    if not isinstance(lines, dict):
        raise DataError(f"The class map {path} is not a list of `category: class or null` lines.")
    for category, label in lines.items():
        if label is not None and not is_name(label):
            raise DataError(
                f"The class map {path} gives {category!r} the class {label!r}, which is no name: "
                "give a name (in quotes if YAML takes it for something else), or null to drop it."
            )
    return {str(category): label for category, label in lines.items()}


def require_complete(class_map: Mapping[str, str | None], categories: Iterable[str]) -> None:
    """Raise `DataError` if a category is neither mapped nor dropped."""
    missing = sorted(set(categories) - set(class_map))
    if missing:
        raise DataError(
            f"The class map lacks {len(missing)} categories of the annotations, first "
            f"{missing[0]!r}: map each to a class, or to null to drop it."
        )


def _bundled() -> dict[str, Path]:
    return {path.stem: path for path in BUNDLED.glob("*.yaml")}


def _read_yaml(path: Path) -> object:
    # OmegaConf's loader refuses a category listed twice, where plain YAML takes the last.
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    try:
        if path.is_file():
            return OmegaConf.to_container(OmegaConf.load(path))
    except (YAMLError, OmegaConfBaseException, OSError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"The class map {path} is not readable YAML ({reason}).") from None
    raise DataError(
        f"The class map {str(path)!r} does not exist: give the path of a YAML file or one of "
        f"{', '.join(sorted(_bundled()))}."
    )
