"""How a run ends early: with the command that continues it, or with nothing left of it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from datamodules.errors import DataError
from lightning_modules.errors import USER_ERRORS, ConfigError, memory_sentence, system_sentence
from lightning_modules.runs import (
    METRICS_FILE,
    command,
    missing_parts,
    run_directory,
    trust_word,
    typed_word,
)


@contextlib.contextmanager
def interruption(folder: Path) -> Iterator[None]:
    """Ctrl-C ends with the command that continues; Lightning itself leaves by a bare SystemExit.

    So does what goes wrong with the memory, the disk, the images and the processes that read them.
    """
    onward = command("run.py", typed_word("resume", folder), trust_word(folder).strip())
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        if (folder / METRICS_FILE).is_file():
            more = f"; what is missing is added by: {onward}" if missing_parts(folder) else ""
            raise SystemExit(f"interrupted; the run's results are in {folder}{more}") from None
        raise SystemExit(
            f"interrupted; continue from the last whole epoch with: {onward}"
        ) from None
    except Exception as error:
        sentence = str(error) if isinstance(error, DataError) else memory_sentence(error)
        if isinstance(error, OSError):
            sentence = sentence or system_sentence(error, elsewhere=False)
        if sentence is None or (folder / METRICS_FILE).is_file():
            raise
        raise ConfigError(
            f"{sentence} Then continue from the last whole epoch with: {onward}"
        ) from error


@contextlib.contextmanager
def refusal(folder: Path, *, clears: bool) -> Iterator[None]:
    """A run refused, or interrupted, before it started leaves nothing behind."""
    try:
        yield
    except (*USER_ERRORS, KeyboardInterrupt):
        if clears:
            run_directory.cleanup(folder)
        raise
