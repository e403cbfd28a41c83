"""What a target is: inputs, where they lie, and who reads them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st


def nothing_to_prepare(folder: Path) -> None:
    """For readers that need no more than their file."""


@dataclass(frozen=True)
class Target:
    """A reader, and the inputs that it is given.

    Attributes:
        name: in tables.
        inputs: a strategy, or what makes one: of examples that take time to make.
        read: reads one input; is given the folder that was prepared.
        prepare: writes what stands around the input, once for many.
        allowed: audit events (`subprocess.Popen`) that are no code of the input.
        needs: packages without which there is nothing to read.
        weight: share of the time, where one input takes long.
    """

    name: str
    inputs: st.SearchStrategy[Any] | Callable[[], st.SearchStrategy[Any]]
    read: Callable[[Path, Any], object]
    prepare: Callable[[Path], None] = nothing_to_prepare
    allowed: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    weight: float = 1

    def strategy(self) -> st.SearchStrategy[Any]:
        """The inputs."""
        return self.inputs if isinstance(self.inputs, st.SearchStrategy) else self.inputs()


def at(name: str, read: Callable[[Path], object]) -> Callable[[Path, bytes], object]:
    """A reader of a file of that name, which the input is written to."""

    def written_and_read(folder: Path, content: bytes) -> object:
        path = folder / name
        path.write_bytes(content)
        return read(path)

    return written_and_read
