"""`fit`: one training or fine-tuning, from the last whole epoch if it was interrupted."""

import contextlib
import functools
import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import OmegaConf
from pytorch_lightning.callbacks import ProgressBar
from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.profilers import SimpleProfiler
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from torch import nn

from lightning_modules.auxiliary.building import build_auxiliary
from lightning_modules.build import build
from lightning_modules.callbacks.checkpoints import (
    BEST,
    LAST,
    AtomicCheckpointIO,
    checkpoint_callbacks,
    read_checkpoint,
)
from lightning_modules.callbacks.divergence import DivergenceGuard
from lightning_modules.callbacks.epoch_table import EpochTable
from lightning_modules.callbacks.freezing import Freezing
from lightning_modules.callbacks.seeding import Seeding
from lightning_modules.classifier import Classifier
from lightning_modules.distiller import make_distiller
from lightning_modules.errors import ConfigError
from lightning_modules.losses.building import build_loss
from lightning_modules.memory_format import choose_channels_last
from lightning_modules.mixing import configured_mixing
from lightning_modules.optimization import make_optimizer, make_schedule
from lightning_modules.session import Session
from lightning_modules.stages import Stage
from lightning_modules.teachers import Teacher

log = logging.getLogger(__name__)

# Keys of conf/trainer that are ours; all others are arguments of Lightning's Trainer.
OWN_KEYS = ("max_epochs", "limit_epochs", "keep", "memory_format")


def fit(
    network: nn.Module,
    session: Session,
    stage: Stage,
    *,
    round: int = 0,
    teachers: Sequence[Teacher] = (),
    origin: dict[str, Any] | None = None,
    resume: bool = False,
) -> int:
    """Trains `network` in place; it comes back on the CPU, contiguous, in eval mode.

    Args:
        session: what the run's fits share.
        stage: epochs and learning rate.
        round: number of this fit within the stage; -1 prepares for the first plan.
        teachers: frozen networks to learn from; none means labels only.
        origin: stored in each checkpoint: how to rebuild the network before loading it.
        resume: continue from the stage's `last.ckpt`.

    Returns:
        The epoch (from 0) whose weights the network has.
    """
    folder = session.checkpoints(stage)
    epochs = stage.epochs_of(round)
    trainer = _trainer(session, stage, round)
    module = _module(network, session, stage, round, trainer, teachers=teachers, origin=origin)
    network.train()  # Lightning leaves modes alone, and a loaded network comes in eval mode
    if epochs > 0:
        with _explained():
            trainer.fit(
                module,
                datamodule=session.data,
                ckpt_path=folder / LAST if resume else None,
                weights_only=True,
            )
    epoch = trainer.current_epoch - 1
    if isinstance(trainer.profiler, SimpleProfiler):
        log.info(trainer.profiler.summary())
    if session.cfg.trainer.keep == "best" and epochs > 0:
        best = read_checkpoint(folder, BEST)
        epoch = best["epoch"]
        module.load_state_dict(best["state_dict"])
    network.to("cpu", memory_format=torch.contiguous_format).eval()
    return epoch


def _trainer(session: Session, stage: Stage, round: int) -> pl.Trainer:
    settings = OmegaConf.to_container(session.cfg.trainer, resolve=True)
    settings = {key: value for key, value in settings.items() if key not in OWN_KEYS}
    own = [
        Seeding(seed=session.cfg.seed, stream=_stream(stage, round)),
        DivergenceGuard(stage.name),
        EpochTable(session.folder / "metrics.csv", step=stage.name, round=round),
        *checkpoint_callbacks(session.checkpoints(stage)),
    ]
    logger = False
    if session.wandb_run is not None:
        logger = WandbLogger(experiment=session.wandb_run, prefix=stage.name)
    chosen = [build(node) for node in session.cfg.callbacks.values()]
    if stage.step is not None:  # freezing saves pretrained layers from a new head; here is none
        chosen = [callback for callback in chosen if not isinstance(callback, Freezing)]
    _quieten()
    with _explained():
        return build(
            settings,
            max_epochs=stage.epochs_of(round),
            callbacks=[*chosen, *own],
            enable_progress_bar=any(isinstance(callback, ProgressBar) for callback in chosen),
            logger=logger,
            plugins=[AtomicCheckpointIO()],
            num_sanity_val_steps=0,
            enable_model_summary=False,
            use_distributed_sampler=False,  # our sampler shares the indices out itself
            default_root_dir=session.folder,
        )


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """What Lightning refuses, it says in sentences of its own."""
    try:
        yield
    except MisconfigurationException as error:
        raise ConfigError(f"The trainer cannot work so: {' '.join(str(error).split())}") from error


def _module(
    network: nn.Module,
    session: Session,
    stage: Stage,
    round: int,
    trainer: pl.Trainer,
    *,
    teachers: Sequence[Teacher],
    origin: dict[str, Any] | None,
) -> Classifier:
    cfg, data = session.cfg, session.data
    counts = data.class_counts["train"]
    loss = build_loss(cfg.loss, class_counts=counts, network=network)
    channels_last = choose_channels_last(
        cfg.trainer.memory_format,
        network,
        next(data.train_eval_batches()),
        loss=loss,
        device=trainer.strategy.root_device,
        cache_dir=Path(cfg.cache_dir),
    )
    if channels_last:
        network.to(memory_format=torch.channels_last)
    settings: dict[str, Any] = {
        "loss": loss,
        "optimizer": lambda module: make_optimizer(module, cfg.optimizer, lr=stage.lr),
        "scheduler": lambda optimizer, length: make_schedule(optimizer, cfg.scheduler, length),
        "num_classes": data.num_classes,
        "channels_last": channels_last,
        "mixing": configured_mixing(cfg, data.num_classes),
        "auxiliary": build_auxiliary(cfg.auxiliary, network, class_counts=counts, seed=cfg.seed),
        "penalty": stage.penalty_of(round),
        "origin": origin,
    }
    data.views = None
    if not teachers:
        return Classifier(network, **settings)
    seed = (cfg.seed, _stream(stage, round))
    return make_distiller(network, session, trainer, teachers, seed=seed, **settings)


def _stream(stage: Stage, round: int) -> int:
    return 1000 * int(stage.name.split("_", 1)[0]) + round + 1


@functools.cache
def _quieten() -> None:
    """Lightning's remarks on devices, workers and its own internals tell a user nothing."""
    for name in ("pytorch_lightning", "lightning_fabric", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for category in (UserWarning, FutureWarning, DeprecationWarning):
        warnings.filterwarnings(
            "ignore", module="(pytorch_lightning|lightning_fabric).*", category=category
        )
