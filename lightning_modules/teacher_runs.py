"""Which finished run a teacher node means; read from files, without torch."""

import os
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lightning_modules import run_directory
from lightning_modules.errors import ConfigError

ORIGINAL = "original"  # the teacher that is this run's own network before compression
WEIGHT_SOURCES = ("pretrained", "weights")  # model keys that do not shape the network


def data_identity(data: DictConfig) -> dict[str, Any]:
    """What makes two runs' data the same: the source's settings, with an absolute root."""
    source = OmegaConf.to_container(data.source, resolve=True)
    if "root" in source:
        source["root"] = os.path.realpath(source["root"])
    return {"name": data.name, "source": source}


def find_run(name: str, node: DictConfig, data: DictConfig) -> Path | None:
    """The directory of a teacher's run: the one named, else the newest one that fits, else None.

    A run fits when it is finished and holds the node's model, uncompressed, trained on this data.
    A node with `weights` needs no run.

    Raises:
        ConfigError: the node names a directory without a saved network, or says too little.
    """
    if node.get("run") is not None:
        folder = run_directory.resolve(str(node.run), run_directory.FINISHED)
        run_directory.description(folder)
        return folder
    if node.get("model") is None:
        raise ConfigError(f"teacher.{name} has neither `run` nor `model`; give teacher.{name}.run.")
    fitting = [run for run in _finished_runs() if _fits(run, node.model, data)]
    return max(fitting, key=lambda run: (run / "metrics.json").stat().st_mtime, default=None)


def require_training_allowed(name: str, policy: str | None, *, sweep: bool) -> None:
    """Refuses to train a missing teacher on the way: by policy, and inside a sweep by default."""
    if policy == "refuse" or (policy is None and sweep):
        why = "teacher_policy=refuse" if policy else "trials of a sweep train no teachers"
        raise ConfigError(
            f"teacher.{name} has no finished run on this data, and {why}; train it first, name one "
            f"with teacher.{name}.run=DIR, or set teacher_policy=train."
        )


def check_classes(name: str, run: Path, class_names: tuple[str, ...]) -> None:
    """Refuses a teacher that knows other classes, or the same ones in another order."""
    theirs = tuple(run_directory.description(run)["class_names"])
    if theirs != tuple(class_names):
        raise ConfigError(
            f"teacher.{name} ({run}) knows the classes {', '.join(theirs)}, but the data has "
            f"{', '.join(class_names)}; a teacher needs the same classes in the same order."
        )


def _finished_runs() -> list[Path]:
    root = run_directory.outputs_root()
    files = [*root.glob("*/*/metrics.json"), *root.glob("teachers/*/metrics.json")]
    return [path.parent for path in files if (path.parent / "model" / "network.yaml").is_file()]


def _fits(run: Path, model: DictConfig, data: DictConfig) -> bool:
    try:
        saved = run_directory.description(run)
    except ConfigError:
        return False
    return (
        not saved["recipe"]
        and saved["extra"].get("data") == data_identity(data)
        and _structure(saved["model"]) == _structure(OmegaConf.to_container(model, resolve=True))
    )


def _structure(model: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in model.items() if key not in WEIGHT_SOURCES}
