"""What runs and trials left behind: configuration and metrics, or why there are none."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightning_modules.errors import ConfigError
from lightning_modules.files import DAMAGE, read_yaml
from lightning_modules.runs import run_directory
from lightning_modules.runs.metrics_record import METRICS_FILE, read_metrics
from lightning_modules.runs.overrides import select, typed_word
from lightning_modules.runs.renames import current_config, current_option

FAILED = "failed.txt"  # in a trial that raised: the reason in one line, then a bug's traceback
STOPPED = "stopped.json"  # in a trial that pruning ended: after which epoch


@dataclass(frozen=True)
class Record:
    """One run or trial.

    Attributes:
        name: as it is shown.
        folder: its run directory.
        config: as composed, interpolations as written; None where it cannot be read.
        choices: the option of each configuration group, such as `{"model": "resnet"}`.
        metrics: the numbers of `metrics.json` by name, such as `val/f1`; empty after a failure.
        finished: when the metrics were written, seconds since 1970.
        failure: why there are no metrics, in one sentence; None for a usable run.
    """

    name: str
    folder: Path
    config: dict[str, Any] | None = None
    choices: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    finished: float = 0.0
    failure: str | None = None


def find_records(names: Sequence[str]) -> list[Record]:
    """The records of all runs and studies named, each run once.

    Args:
        names: run directories, `last`, study directories, or names of those under
            `outputs/studies/`.

    Raises:
        ConfigError: there is no such directory.
    """
    found: dict[Path, Record] = {}
    for name in names:
        folder, name = find_folder(name), name.rstrip("/")
        trials = [] if (folder / ".hydra").is_dir() else study_records(folder, prefix=f"{name}/")
        for record in trials or [read_record(folder, name)]:
            found.setdefault(record.folder, record)
    return list(found.values())


def study_records(study: Path, *, prefix: str = "") -> list[Record]:
    """The records of a study's trials, in order: of all runs in it and in its folders."""
    left = (".hydra", FAILED)  # a job that was cancelled before it began has the second only
    found = {
        path.parent for name in left for at in ("*", "*/*") for path in study.glob(f"{at}/{name}")
    }
    trials = sorted(found, key=lambda path: (len(path.name), path.name))  # 2 before 10
    return [read_record(trial, f"{prefix}{trial.relative_to(study)}") for trial in trials]


def read_record(folder: Path, name: str) -> Record:
    """The record of one run directory; whatever is wrong with it becomes its `failure`."""
    try:
        config = _configuration(folder)
        choices = _choices(folder, config)
    except FileNotFoundError:
        reason = "it is neither a run (it has no .hydra/config.yaml) nor a study with trials."
        return Record(name, folder, failure=failure_of(folder) or reason)
    except (OSError, *DAMAGE):
        return Record(name, folder, failure="its .hydra folder cannot be read; it is damaged.")
    try:
        finished, metrics = (folder / METRICS_FILE).stat().st_mtime, _numbers(read_metrics(folder))
        failure = failure_of(folder)
    except FileNotFoundError:
        onward = typed_word("resume", folder)
        failure = failure_of(folder) or f"it did not finish; continue it with {onward}."
    except ConfigError as error:
        failure = f"its {str(error).removeprefix(f'{folder}/')}"
    except (OSError, ValueError, OverflowError):
        failure = f"its {METRICS_FILE} cannot be read; it is damaged."
    if failure is not None:
        return Record(name, folder, config, choices, failure=failure)
    return Record(name, folder, config, choices, metrics, finished)


def find_folder(name: str) -> Path:
    """The directory that a name means: of a run, of the `last` one, or of a study.

    Raises:
        ConfigError: there is none.
    """
    if name != "last" and not Path(name).is_dir():
        study = run_directory.outputs_root() / "studies" / name
        if not study.is_dir():
            raise ConfigError(f"There is neither a run directory nor a study called {name}.")
        return study.resolve()
    return run_directory.resolve(name, run_directory.FINISHED)


def _configuration(folder: Path) -> dict[str, Any]:
    """What the run was composed from; a resumed run may have got other epochs."""
    resumed = folder / ".hydra" / "resume" / "config.yaml"
    path = resumed if resumed.is_file() else folder / ".hydra" / "config.yaml"
    config = current_config(_mapping(path))
    json.dumps(config, default=str)  # an alias inside its own anchor is a ValueError here
    return config


def _choices(folder: Path, config: dict[str, Any]) -> dict[str, str]:
    """A teacher trained on the way was not started by Hydra and has only its names on record."""
    path = folder / ".hydra" / "hydra.yaml"
    found = select(_mapping(path), "hydra.runtime.choices") if path.is_file() else None
    if not isinstance(found, dict):
        found = {group: select(config, f"{group}.name") for group in ("model", "data")}
    return {g: current_option(g, option) for g, option in found.items() if isinstance(option, str)}


def _mapping(path: Path) -> dict[str, Any]:
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds no mapping.")
    return content


def _numbers(metrics: dict[str, Any]) -> dict[str, float]:
    """All numbers of `metrics.json` whose name has a slash: `val/f1`, `cost/macs`, ..."""
    numbers = {key: value for key, value in metrics.items() if "/" in key}
    if not numbers or not all(map(_is_finite, numbers.values())):
        raise ValueError(f"{METRICS_FILE} has no metrics, or some that are no numbers.")
    return numbers


def _is_finite(value: Any) -> bool:
    from lightning_modules.schema import is_number  # pydantic: not for --help

    return is_number(value) and math.isfinite(value)


def failure_of(folder: Path) -> str | None:
    """The first line of a run's `failed.txt`; None where there is none."""
    path = folder / FAILED
    if not path.is_file():
        return None
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return lines[0] if lines else "it failed."
