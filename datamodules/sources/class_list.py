"""Lists of classes: which folders are read, and which label each of them has."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from datamodules.errors import DataError
from datamodules.schema import is_name


def read_class_list(path: Path) -> tuple[str, ...]:
    """The names in a file, in their order, which is that of the labels.

    A text file has one name a line; a `.json`, `.yaml` or `.yml` file is a list of names, or has
    their numbers: `{cat: 0, dog: 1}` or `{0: cat, 1: dog}`, also below `names:`.

    Raises:
        DataError: the file is absent or no such list, or a name stands there twice.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise DataError(f"data.source.classes={path} cannot be read ({reason}).") from None
    if path.suffix.lower() in (".json", ".yaml", ".yml"):
        names = _in_order(_parsed(path, text))
    else:
        names = [line.strip() for line in text.splitlines() if line.strip()]
    if not names or not all(is_name(name) for name in names):
        wrong = next((repr(name) for name in names or () if not is_name(name)), "nothing")
        raise DataError(
            f"data.source.classes={path} lists {wrong} where names of classes should stand: give "
            "one a line, or a JSON or YAML list of names (in quotes if YAML takes one for "
            "something else)."
        )
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(f"data.source.classes={path} lists the class {twice[0]!r} twice.")
    return tuple(names)


def _parsed(path: Path, text: str) -> Any:
    import yaml

    try:
        return json.loads(text) if path.suffix.lower() == ".json" else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"data.source.classes={path} cannot be parsed ({reason}).") from None


def _in_order(found: Any) -> list[Any]:
    """The names of a list, or of a table of names and numbers from 0; else nothing."""
    if isinstance(found, dict) and "names" in found:
        found = found["names"]
    if not isinstance(found, dict):
        return found if isinstance(found, list) else []
    for table in (found, _swapped(found)):
        if table and {str(key) for key in table} == {str(n) for n in range(len(table))}:
            numbered = {int(number): name for number, name in table.items()}
            return [numbered[number] for number in range(len(numbered))]
    return []


def _swapped(table: dict[Any, Any]) -> dict[str, Any]:
    return {str(number): name for name, number in table.items()}
