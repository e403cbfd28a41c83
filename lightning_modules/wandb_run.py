"""The W&B run of an experiment: one for all its stages, always finished."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lightning_modules.build import build


@contextlib.contextmanager
def wandb_run(cfg: DictConfig, folder: Path, *, group: str | None) -> Iterator[Any]:
    """Yields the started W&B run, or None where `logger=none`; it is finished whatever happens.

    Args:
        cfg: the whole configuration, which the run records.
        folder: the run directory; W&B writes below it, nothing elsewhere.
        group: the study that a trial belongs to.
    """
    if cfg.logger.get("_target_") is None:
        yield None
        return
    import wandb

    run = build(
        cfg.logger,
        dir=folder,
        name=folder.name if group is None else f"{group}/{folder.name}",
        group=group,
        config=OmegaConf.to_container(cfg, resolve=True),
        settings=wandb.Settings(console="off", silent=True),
        reinit="finish_previous",
    )
    try:
        yield run
    finally:
        wandb.finish()
