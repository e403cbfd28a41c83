"""Words of a command line: values in Hydra's grammar, and words as they are pasted into bash.

Every command that is printed, in a sentence, a card or a report, is made of these.
"""

import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]  # where run.py and scripts/ lie
# Texts that Hydra reads as themselves, as long as they are no numbers or other words of YAML.
BARE = re.compile(r"[A-Za-z0-9_/.@%+:-]+( [A-Za-z0-9_/.@%+:-]+)*")
OTHER = re.compile(r"[+-]?[\d._]*(e[+-]?\d+)?|[+-]?inf|nan|null|true|false", re.I)


def quote(value: Any) -> str:
    """A value in Hydra's override grammar."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        # Backslashes count only before a quote, and there each must be doubled.
        escaped = re.sub(r"(\\*)('|\Z)", lambda m: 2 * m[1] + ("\\'" if m[2] else ""), value)
        return f"'{escaped}'"
    if isinstance(value, list):
        return "[" + ",".join(quote(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{quote(item)}" for key, item in value.items()) + "}"
    return str(value)


def typed_word(key: str, value: Any) -> str:
    """`key=value` as it is typed: quoted for Hydra where it must be, and all of it for bash.

    Args:
        key: with its `+` or `~`, if it has one.
        value: a path, a text, or what YAML knows.
    """
    return bash_word(f"{key}={_in_hydra(value)}")


def bash_word(word: str | Path) -> str:
    r"""A word that bash takes as it is; in double quotes where it has single ones only.

    What cannot be printed, as a newline or bytes that are not UTF-8, stands as `$'\xe9'`.
    """
    text = str(word)
    if isinstance(word, Path) and text.startswith("-"):  # or it would be a flag
        text = f"./{text}"
    if not text.isprintable():
        escaped = "".join(map(_in_dollar_quotes, text))
        return f"$'{escaped}'"
    double = "'" in text and not any(letter in text for letter in '"$`\\!')
    return f'"{text}"' if double else shlex.quote(text)


def command(script: str, *words: str) -> str:
    """`python run.py WORDS`, to be pasted where this process was started.

    Args:
        script: its path in the project.
        words: as `typed_word` and `bash_word` give them.
    """
    there = PROJECT / script
    is_here = not there.is_file() or Path(script).resolve() == there
    return " ".join(["python", script if is_here else bash_word(there), *filter(None, words)])


def _in_hydra(value: Any) -> str:
    if isinstance(value, Path):
        value = str(value)
    if isinstance(value, str):
        return value if BARE.fullmatch(value) and not OTHER.fullmatch(value) else quote(value)
    if isinstance(value, Sequence):
        return f"[{','.join(map(_in_hydra, value))}]"
    return quote(value)


def _in_dollar_quotes(letter: str) -> str:
    if letter in "'\\":
        return f"\\{letter}"
    if letter.isprintable():
        return letter
    return "".join(rf"\x{byte:02x}" for byte in _bytes_of(letter))


def _bytes_of(letter: str) -> bytes:
    """As they were typed; half a surrogate pair, which nobody can type, comes from JSON or YAML."""
    try:
        return os.fsencode(letter)
    except UnicodeEncodeError:
        return letter.encode("utf-8", "surrogatepass")
