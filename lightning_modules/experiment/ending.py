"""The end of a run: its network and metrics first, then what may fail without costing them."""

import copy
import shutil
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from lightning_modules.errors import USER_ERRORS, memory_sentence, system_sentence
from lightning_modules.files import whole_folder
from lightning_modules.runs import METRICS_FILE, NOT_YET, read_metrics, write_metrics

Made = TypeVar("Made")
LOG = "run.log"  # Hydra's, in a run's directory
# What a resumed run keeps where it is there; all other parts are made anew from it.
KEPT = ("evaluation", "agreement", "latency", "layers")


class Ending:
    """What a run leaves after its last stage, in the order of its worth.

    The network and what the stages measured are written first. Each further part is tried, and
    what fails is named in `metrics.json` (`missing`) with its reason; no part stops another.

    Args:
        folder: the run directory.
        metrics: what the stages say of the network, without any of the parts; of a run that was
            ended here before, what its `metrics.json` says takes their place.
        parts: the names of what is made besides, in order.

    Attributes:
        metrics: all that is known so far.
        missing: part -> why it is not there.
    """

    def __init__(self, folder: Path, metrics: dict[str, Any], parts: Sequence[str]) -> None:
        self.folder = folder
        self.metrics = read_metrics(folder) if (folder / METRICS_FILE).is_file() else metrics
        before = self.metrics.pop("missing", None)
        kept = () if before is None else [name for name in KEPT if name not in before]
        self.missing = {name: NOT_YET for name in parts if name not in kept}

    def ship(self, last_stage: str) -> None:
        """Puts the last stage's network to `model/`, and beside it the metrics known by then."""
        if not (self.folder / METRICS_FILE).is_file():
            with whole_folder(self.folder / "model") as part:
                shutil.copytree(
                    self.folder / "steps" / last_stage / "model", part, dirs_exist_ok=True
                )
        self._write()

    def make(self, name: str, part: Callable[[], Made]) -> Made | None:
        """A part, where it is missing; None where it fails.

        Args:
            name: one of the parts; of others nothing is made.
            part: makes it; it may change `metrics`, which are as before if it fails.
        """
        if name not in self.missing:
            return None
        before, reason = copy.deepcopy(self.metrics), self.missing.pop(name)
        try:
            made = part()
            self._write()
        except Exception as error:  # a bug, a library's, the disk's: the training is not lost
            self.metrics = before
            self.missing[name] = note_failure(self.folder, name, error)
            with suppress(OSError):
                self._write()
            return None
        except BaseException:  # an interruption, which is said with what is missing
            self.missing[name] = reason
            raise
        return made

    @property
    def record(self) -> dict[str, Any]:
        """All of `metrics.json`."""
        return {**self.metrics, **({"missing": self.missing} if self.missing else {})}

    def _write(self) -> None:
        write_metrics(self.folder, self.record)


def note_failure(folder: Path, part: str, error: Exception) -> str:
    """Why a part of a run is missing, in a sentence, also in the run's log.

    There it has the traceback of what is no user's mistake.
    """
    reason = reason_of(error)
    details = ""
    if not isinstance(error, USER_ERRORS):
        details = "".join(traceback.format_exception(error))
    with suppress(OSError), (folder / LOG).open("a", encoding="utf-8") as file:
        file.write(f"{part} is missing: {reason}\n{details}")
    return reason


def reason_of(error: Exception) -> str:
    """Why something failed, in one line for a person."""
    sentence = system_sentence(error, elsewhere=False) if isinstance(error, OSError) else None
    if isinstance(error, USER_ERRORS):
        sentence = str(error)
    sentence = sentence or memory_sentence(error)
    if sentence is None:
        said = f"{type(error).__name__}: {error}".strip().removesuffix(":")
        sentence = f"{said.splitlines()[0].rstrip('.')} (traceback in {LOG})."
    return " ".join(sentence.split())
