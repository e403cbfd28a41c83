"""`fit`: one training or fine-tuning, from the last whole epoch if it was interrupted."""

import copy
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import OmegaConf
from pytorch_lightning.profilers import SimpleProfiler
from torch import nn

from lightning_modules.distillation.distiller import make_distiller
from lightning_modules.distillation.teachers import Teacher
from lightning_modules.experiment.run_context import Session
from lightning_modules.experiment.stages import Stage
from lightning_modules.experiment.trainer import explained, make_trainer, stream
from lightning_modules.runs.data import make_data
from lightning_modules.training.auxiliary.building import build_auxiliary
from lightning_modules.training.callbacks.checkpoints import BEST, LAST, read_checkpoint
from lightning_modules.training.classifier import Classifier
from lightning_modules.training.ddp_processes import other_ranks
from lightning_modules.training.devices import device_count
from lightning_modules.training.losses.building import build_loss
from lightning_modules.training.memory_format import choose_channels_last
from lightning_modules.training.mixing import configured_mixing
from lightning_modules.training.optimization import make_optimizer, make_schedule
from lightning_modules.training.optimizer_state import Moments

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """What one fit is about, equal in each of its processes.

    Attributes:
        network: what is trained.
        stage: epochs and learning rate.
        round: number of this fit within the stage; -1 prepares for the first plan.
        teachers: frozen networks to learn from; none means labels only.
        origin: stored in each checkpoint: how to rebuild the network before loading it.
        resume: continue from the stage's `last.ckpt`.
        channels_last: keep activations in channels-last memory order.
        moments: what the optimizer starts with; after the fit what it knows then.
    """

    network: nn.Module
    stage: Stage
    round: int
    teachers: tuple[Teacher, ...]
    origin: dict[str, Any] | None
    resume: bool
    channels_last: bool
    moments: Moments


def fit(
    network: nn.Module,
    session: Session,
    stage: Stage,
    *,
    round: int = 0,
    teachers: Sequence[Teacher] = (),
    origin: dict[str, Any] | None = None,
    resume: bool = False,
    moments: Moments | None = None,
) -> int:
    """Trains `network` in place; it comes back on the CPU, contiguous, in eval mode.

    With several devices this process trains on the first one, and for the length of the fit there
    is a process for each of the others: the rest of a run knows nothing of them.

    Args:
        session: what the run's fits share.
        network, stage, round, teachers, origin, resume, moments: see `Job`.

    Returns:
        The epoch (from 0) whose weights the network has.
    """
    network.eval()
    if stage.epochs_of(round) == 0:
        return -1
    devices = device_count(session.cfg.trainer)
    # A strategy may exchange layers (SyncBatchNorm), which the run's own network must not see.
    trained = network if devices == 1 else copy.deepcopy(network)
    channels_last = _channels_last(network, session)
    moments = Moments() if moments is None else moments
    job = Job(trained, stage, round, tuple(teachers), origin, resume, channels_last, moments)
    plain = OmegaConf.to_container(session.cfg, resolve=True)
    with other_ranks(join_fit, job, plain, session.folder, count=devices - 1):
        trainer, module = fit_rank(job, session)
    moments.take(trainer.optimizers[0], module)
    session.data.trainer = None  # else its loaders would go on sharing the images out
    if isinstance(trainer.profiler, SimpleProfiler):
        log.info(trainer.profiler.summary())
    epoch = trainer.current_epoch - 1
    if session.cfg.trainer.keep == "best":
        best = read_checkpoint(session.checkpoints(stage), BEST)
        epoch = best["epoch"]
        module.load_state_dict(best["state_dict"])
    if trained is not network:
        network.load_state_dict(trained.state_dict())
    network.to("cpu", memory_format=torch.contiguous_format).eval()
    return epoch


def join_fit(job: Job, plain_cfg: dict[str, Any], folder: Path) -> None:
    """The part of another process in a fit: the same steps on other images, and no files."""
    cfg = OmegaConf.create(plain_cfg)
    pl.seed_everything(cfg.seed, verbose=False)
    fit_rank(job, Session(cfg, make_data(cfg), folder))


def fit_rank(job: Job, session: Session) -> tuple[pl.Trainer, Classifier]:
    """Fits the job's network in this process, together with the other ones where there are any."""
    trainer = make_trainer(session, job.stage, job.round)
    module = _module(job, session, trainer)
    module.train()  # Lightning leaves modes alone, and a loaded network comes in eval mode
    with explained():
        trainer.fit(
            module,
            datamodule=session.data,
            ckpt_path=session.checkpoints(job.stage) / LAST if job.resume else None,
            weights_only=True,
        )
    return trainer, module


def _module(job: Job, session: Session, trainer: pl.Trainer) -> Classifier:
    cfg, data, network, stage = session.cfg, session.data, job.network, job.stage
    counts = data.class_counts["train"]
    if job.channels_last:
        network.to(memory_format=torch.channels_last)
    settings: dict[str, Any] = {
        "loss": build_loss(cfg.loss, class_counts=counts, network=network),
        "optimizer": lambda module: job.moments.give(
            make_optimizer(module, cfg.optimizer, lr=stage.lr), module
        ),
        "scheduler": lambda optimizer, length: make_schedule(optimizer, cfg.scheduler, length),
        "num_classes": data.num_classes,
        "channels_last": job.channels_last,
        "mixing": configured_mixing(cfg, data.num_classes),
        "auxiliary": build_auxiliary(cfg.auxiliary, network, class_counts=counts, seed=cfg.seed),
        "penalty": stage.penalty_of(job.round),
        "origin": job.origin,
    }
    data.views = None
    if not job.teachers:
        return Classifier(network, **settings)
    seed = (cfg.seed, stream(stage, job.round))
    return make_distiller(
        network,
        cfg,
        data,
        job.teachers,
        epochs=stage.epochs_of(job.round),
        device=trainer.strategy.root_device,
        seed=seed,
        **settings,
    )


def _channels_last(network: nn.Module, session: Session) -> bool:
    """Decided once for all processes of a fit: it may be measured."""
    cfg, counts = session.cfg, session.data.class_counts["train"]
    return choose_channels_last(
        cfg.trainer.memory_format,
        network,
        next(session.data.train_eval_batches()),
        loss=build_loss(cfg.loss, class_counts=counts, network=network),
        device=session.device,
        cache_dir=Path(cfg.cache_dir),
    )
