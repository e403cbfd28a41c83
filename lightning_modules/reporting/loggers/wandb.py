"""The W&B run of an experiment: one for all its stages, always finished."""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra.types import RunMode
from omegaconf import DictConfig

from lightning_modules.evaluation import CLASS_COLUMNS, class_rows, is_class_metric
from lightning_modules.registry import build, plain
from lightning_modules.runs import STOPPED, joined

STAGING = "WANDB_DATA_DIR"


@contextlib.contextmanager
def wandb_run(
    cfg: DictConfig,
    folder: Path,
    *,
    title: str,
    group: str,
    search: Callable[[], dict[str, Any]] | None = None,
) -> Iterator[Any]:
    """Yields the started W&B run, or None where `logger=none`; it is finished whatever happens.

    Args:
        cfg: the whole configuration, which the run records.
        folder: the run directory; W&B writes below it, nothing elsewhere.
        title: what the run is called.
        group: the runs that it belongs to.
        search: gives what is recorded of a trial of a search.
    """
    if cfg.logger.get("_target_") is None:
        yield None
        return
    import wandb

    config = plain(cfg)
    if search is not None:
        config["search"] = search()
    with _staging(folder / "wandb" / "staging"):
        run = build(
            cfg.logger,
            dir=folder,
            name=title,
            group=group,
            config=config,
            settings=wandb.Settings(console="off", silent=True),
            reinit="finish_previous",
        )
        try:
            yield run
            if search is not None:
                run.summary["search/pruned"] = (folder / STOPPED).is_file()
        finally:
            wandb.finish()


@contextlib.contextmanager
def _staging(folder: Path) -> Iterator[None]:
    """Lets tables wait in `folder` for their upload; W&B would take the user's home."""
    before = os.environ.get(STAGING)
    os.environ[STAGING] = str(folder)
    try:
        yield
    finally:
        os.environ.pop(STAGING)
        if before is not None:
            os.environ[STAGING] = before


def run_title(cfg: DictConfig, hydra: DictConfig) -> tuple[str, str]:
    """What a person calls the run that Hydra started, and the group that it belongs to.

    `<model>_<data>[_<steps>]_seed<seed>[_fold<fold>][_trial<number>]`; the group is the study's
    name, else `<model>_<data>`.
    """
    choices = hydra.runtime.choices
    group = [choices.model, choices.data]
    words = [*group, *cfg.compression, f"seed{cfg.seed}"]
    if cfg.data.get("fold") is not None:
        words.append(f"fold{cfg.data.fold}")
    if hydra.mode == RunMode.MULTIRUN:
        return joined([*words, f"trial{trial_number(cfg, hydra)}"]), Path(hydra.sweep.dir).name
    return joined(words), joined(group)


def trial_number(cfg: DictConfig, hydra: DictConfig) -> int:
    """A search tells it; in another multirun it is the job's number."""
    number = cfg.get("trial")
    return hydra.job.num if number is None else number


def log_results(run: Any, metrics: dict[str, Any], pictures: Sequence[Path], model: Path) -> None:
    """Logs what a finished run shows: metrics, a table of classes, pictures, the network.

    Args:
        run: of `wandb_run`.
        metrics: of `metrics.json`.
        pictures: PNG files.
        model: the saved network's folder; an artifact of type `model` refers to its files, which
            must be there still when an offline run is synchronised.
    """
    import wandb

    run.summary.update({k: v for k, v in metrics.items() if not isinstance(v, dict | list)})
    classes, *matrices = metrics["confusion"].items()
    for split, matrix in matrices:
        rows = [list(row) for row in class_rows(classes[1], matrix)]
        run.log({f"{split}/classes": wandb.Table(columns=list(CLASS_COLUMNS), data=rows)})
    if pictures:
        run.log({f"figures/{path.stem}": wandb.Image(str(path)) for path in pictures})
    numbers = {k: v for k, v in metrics.items() if "/" in k and not is_class_metric(k)}
    artifact = wandb.Artifact(run.name, type="model", metadata=numbers)
    for path in sorted(model.iterdir()):
        # Not `mutable`: that copies the network to a folder of W&B's outside the run directory.
        artifact.add_file(str(path), policy="immutable", skip_cache=True)
    run.log_artifact(artifact)
