"""The keys of the scripts that export, measure and serve: what each may be, declared once."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, Strict

from lightning_modules.deployment.exports import EXPORTS
from lightning_modules.schema import Count, Flag, Fraction, Text, Wanted, declared

Listed = BeforeValidator(lambda value: value if isinstance(value, list) else [value])
Batches = Annotated[
    list[Annotated[int, Strict(), Field(ge=1)]],
    Listed,
    Wanted("numbers of images from 1, as 1,8,64"),
]
Port = Annotated[int, Strict(), Field(ge=1, le=65535), Wanted("in 1..65535")]


@declared()
class ExportSettings:
    """What `scripts/export.py` writes.

    Attributes:
        format: of the file.
        images: how many validation images network and file are compared on, at most.
        weights: `half` stores them in 16 bits.
        int8: true quantises the run's float network on the way, false exports that network; None
            exports what the run keeps.
        max_f1_drop: the largest macro-F1 that an int8 file may lose.
    """

    format: Annotated[Any, EXPORTS]
    images: Count
    weights: Literal["float", "half"]
    int8: Flag | None = None
    max_f1_drop: Fraction


@declared()
class BenchmarkSettings:
    """What `scripts/benchmark.py` measures.

    Attributes:
        backends: that runs are measured in; see `backends.BACKENDS`.
        threads: of each backend.
        repeats: timed calls of each.
        batches: numbers of images a call to choose the best from.
        format: of files of its suffix.
    """

    backends: Annotated[list[Any], Listed]
    threads: Count
    repeats: Count
    batches: Batches
    format: Annotated[Any, EXPORTS] | None = None


@declared()
class PageSettings:
    """Where `scripts/app.py` listens, and the format of files of its suffix."""

    host: Text
    port: Port
    format: Annotated[Any, EXPORTS] | None = None


@declared()
class FileSettings:
    """The format of an exported file of its suffix."""

    format: Annotated[Any, EXPORTS] | None = None
