"""Names of files and classes."""

from typing import Any


def is_name(value: Any) -> bool:
    """Whether it is text that can be a file's or a class's name, and be written as UTF-8."""
    if type(value) is not str or not value.strip() or "\0" in value:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON and YAML can hold
        return False
    return True
