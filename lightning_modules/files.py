"""The one way in which this package writes: beside, then renamed, so that nothing is ever partial.

What is written gets the permissions that the umask leaves, whatever the library that writes it
gave it: another account can read it.
"""

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from compression.files import MOST_NODES, count_nodes
from compression.files import whole_file as _whole_file
from datamodules.errors import shown
from datamodules.files import home_expanded as home_expanded
from datamodules.files import remove_dead_parts as remove_dead_parts
from lightning_modules.errors import ConfigError

FAST = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # seven times faster where it is compiled
DEEP = 2_500  # brackets and the like, of which the compiled one goes no deeper: it would crash
# What data of another form makes of whoever takes it apart.
DAMAGE = (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to, with its folders made; renamed to it when all is well.

    After an error nothing is left, and what was at `path` before stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _whole_file(path) as part:
        yield part


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file in one piece."""
    with whole_file(path) as part:
        part.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text in one piece; of a path that is not UTF-8 it shows the bytes."""
    write_bytes(path, shown(text).encode("utf-8"))


def write_json(path: Path, content: Any) -> None:
    """Writes JSON in one piece; NaN is refused, for no reader could take it."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """What `write_json` wrote.

    Raises:
        OSError: the file cannot be read.
        ConfigError: it is damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} cannot be read; it is damaged.") from error


# What `whole_file` and `whole_folder` write to, of a process with that number.
_PART = re.compile(r"\.(.+)\.\d+\.part(\.old)?")


def remove_parts(folder: Path) -> None:
    """Removes what killed processes left half-written below a folder where no other one writes.

    A folder that was being replaced, and has no new one yet, comes back.
    """
    for path in list(folder.rglob(".*.part*")):
        if (found := _PART.fullmatch(path.name)) is None:
            continue
        whole = path.with_name(found[1])
        if found[2] and not whole.exists():
            path.replace(whole)
        elif path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def read_yaml(path: Path, *, loader: Any = None) -> Any:
    """The plain data of a YAML file, which may be damaged or made to do harm.

    Args:
        path: of the file.
        loader: of PyYAML, which makes plain data only; None: the fastest.

    Raises:
        OSError: the file cannot be read.
        ConfigError: it is no YAML, holds itself, or comes to too much when its aliases are written
            out.
    """
    try:
        text = path.read_text(encoding="utf-8")
        deep = sum(map(text.count, "[{-?:")) > DEEP
        # A path that is not UTF-8 is written with escapes that only the slow loader reads.
        fast = yaml.SafeLoader if deep or "\\uDC" in text else FAST
        content = yaml.load(text, Loader=loader or fast)
        if count_nodes(content) > MOST_NODES:
            raise ValueError(f"its aliases come to more than {MOST_NODES:,} values")
    except (yaml.YAMLError, *DAMAGE) as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"{path} cannot be read as YAML ({reason}); it is damaged.") from error
    return content


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """An empty folder beside `folder` to fill; it takes its place when all is well.

    After an error nothing is left, and what was at `folder` before stays.
    """
    part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    shutil.rmtree(part, ignore_errors=True)  # of a process that was killed here
    part.mkdir(parents=True)
    try:
        yield part
        replace_folder(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def replace_folder(part: Path, folder: Path) -> None:
    """Puts `part` in the place of `folder`, which is never seen half-written."""
    old = folder.with_name(f"{part.name}.old")
    if folder.exists():
        folder.replace(old)
    try:
        part.replace(folder)
    except OSError:
        if old.exists():
            old.replace(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)
