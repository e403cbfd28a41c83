"""Lightning's Trainer for one fit."""

import contextlib
import functools
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.callbacks import ProgressBar

from lightning_modules.errors import ConfigError
from lightning_modules.experiment.run_context import RunContext
from lightning_modules.experiment.stages import Stage, stages_of
from lightning_modules.registry import build, build_part, plain
from lightning_modules.training import (
    AtomicCheckpointIO,
    DivergenceGuard,
    EpochCheckpoints,
    EpochTable,
    Freezing,
    GradientReport,
    RankBuffers,
    Seeding,
    chosen_callbacks,
    ddp_strategy,
    device_count,
    first_device,
)

# Keys of conf/trainer that are ours; all others are arguments of Lightning's Trainer.
OWN_KEYS = ("max_epochs", "limit_epochs", "keep", "memory_format", "strategy")


def make_trainer(run: RunContext, stage: Stage, round: int) -> pl.Trainer:
    """The Trainer of a round's fit, with its callbacks, table, checkpoints and loggers."""
    trainer = run.cfg.trainer
    settings = plain(trainer)
    settings = {key: value for key, value in settings.items() if key not in OWN_KEYS}
    chosen = [
        build_part(node, "callback", f"callbacks.{name}", ("on_fit_start", "state_dict"))
        for name, node in chosen_callbacks(run.cfg).items()
    ]
    if stage.step is not None:  # freezing saves pretrained layers from a new head; here is none
        chosen = [callback for callback in chosen if not isinstance(callback, Freezing)]
    table = EpochTable(run.folder / "metrics.csv", step=stage.name, round=round)
    own: list[pl.Callback] = [
        Seeding(seed=run.cfg.seed, stream=seed_stream(stage, round)),
        DivergenceGuard(stage.name),
        GradientReport(),
        table,
        *_pruning(run, epochs_before=table.epochs_before()),
        EpochCheckpoints(run.checkpoints(stage)),
    ]
    if first_device(trainer).type == "cpu":  # of which Lightning knows no -1 and no list
        settings["devices"] = device_count(trainer)
    plugins: list[Any] = [AtomicCheckpointIO()]
    if device_count(trainer) > 1:
        settings["strategy"] = ddp_strategy(trainer.strategy)
        plugins.append(LightningEnvironment())
        own.insert(0, RankBuffers())
    else:
        settings["sync_batchnorm"] = False  # with nobody
    _suppress_remarks()
    with report_errors():
        made: pl.Trainer = build(
            settings,
            max_epochs=stage.epochs_of(round),
            callbacks=[*chosen, *own],
            enable_progress_bar=any(isinstance(callback, ProgressBar) for callback in chosen),
            logger=run.loggers.of_stage(stage.name),
            plugins=plugins,
            num_sanity_val_steps=0,
            enable_model_summary=False,
            use_distributed_sampler=False,  # our sampler shares the indices out itself
            default_root_dir=run.folder,
        )
    run.loggers.start_fit(made, epochs_before=table.epochs_before())
    return made


def _pruning(run: RunContext, *, epochs_before: int) -> list[pl.Callback]:
    """Of a trial whose search ends trials early."""
    if run.cfg.trial is None or run.cfg.sweep.pruner is None:
        return []
    from lightning_modules.search import pruning_callbacks  # Optuna

    stages = stages_of(run.cfg)
    epochs = sum(s.epochs * s.rounds + s.prepare_epochs for s in stages)
    return [*pruning_callbacks(run.cfg, run.folder, epochs, epochs_before=epochs_before)]


@contextlib.contextmanager
def report_errors() -> Iterator[None]:
    """What Lightning refuses becomes a user's error with its sentence.

    Raises:
        ConfigError: instead of Lightning's own exception.
    """
    try:
        yield
    except MisconfigurationException as error:
        raise ConfigError(f"The trainer cannot work so: {' '.join(str(error).split())}") from error


def seed_stream(stage: Stage, round: int) -> int:
    """The number of a fit within a run; no two fits share their draws."""
    return 1000 * int(stage.name.split("_", 1)[0]) + round + 1


@functools.cache
def _suppress_remarks() -> None:
    """Lightning's remarks on devices, workers and its own internals tell a user nothing."""
    for name in ("pytorch_lightning", "lightning_fabric", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for category in (UserWarning, FutureWarning, DeprecationWarning):
        warnings.filterwarnings(
            "ignore", module="(pytorch_lightning|lightning_fabric).*", category=category
        )
