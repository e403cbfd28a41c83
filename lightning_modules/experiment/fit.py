"""`fit`: one training or fine-tuning, from the last whole epoch if it was interrupted."""

import copy
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import OmegaConf
from pytorch_lightning.profilers import SimpleProfiler

from lightning_modules.distillation import Teacher, make_distiller
from lightning_modules.errors import ConfigError
from lightning_modules.experiment.run_context import RunContext
from lightning_modules.experiment.stages import Stage
from lightning_modules.experiment.trainer import make_trainer, report_errors, seed_stream
from lightning_modules.networks import Network, to_channels_last
from lightning_modules.registry import plain
from lightning_modules.runs import kept_splits, make_data
from lightning_modules.training import (
    BEST,
    Classifier,
    OptimizerState,
    build_auxiliary,
    build_loss,
    choose_channels_last,
    configured_mixing,
    device_count,
    make_optimizer,
    make_schedule,
    other_ranks,
    read_checkpoint,
    reason_to_stop,
)

log = logging.getLogger(__name__)


@dataclass
class FitRecord:
    """What the fits of a stage leave to record.

    Attributes:
        updates: weight updates of the optimizer.
        ended: a sentence for each fit that ended before its last epoch, and why.
    """

    updates: int = 0
    ended: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class FitSpec:
    """What one fit does, equal in each of its processes.

    Attributes:
        network: what is trained.
        stage: epochs and learning rate.
        round: number of this fit within the stage; -1 prepares for the first plan.
        teachers: frozen networks to learn from; none means labels only.
        resume_state: stored in each checkpoint: how to rebuild the network before loading it.
        resume: the checkpoint to continue from.
        channels_last: keep activations in channels-last memory order.
        optimizer_state: what the optimizer starts with; after the fit what it knows then.
    """

    network: Network
    stage: Stage
    round: int
    teachers: tuple[Teacher, ...]
    resume_state: dict[str, Any] | None
    resume: Path | None
    channels_last: bool
    optimizer_state: OptimizerState


def fit(
    network: Network,
    run: RunContext,
    stage: Stage,
    *,
    round: int = 0,
    teachers: Sequence[Teacher] = (),
    resume_state: dict[str, Any] | None = None,
    resume: Path | None = None,
    optimizer_state: OptimizerState | None = None,
    record: FitRecord | None = None,
) -> int:
    """Trains `network` in place; it comes back on the CPU, contiguous, in eval mode.

    With several devices this process trains on the first one, and for the length of the fit there
    is a process for each of the others: the rest of a run knows nothing of them.

    Args:
        run: what the run's fits share.
        network, stage, round, teachers, resume_state, resume, optimizer_state: see `FitSpec`.
        record: what this fit leaves to record is added to it.

    Returns:
        The epoch (from 0) whose weights the network has.

    Raises:
        ConfigError: the best epoch is asked for, and its checkpoint is damaged or absent.
    """
    network.eval()
    if stage.epochs_of(round) == 0:
        return -1
    devices = device_count(run.cfg.trainer)
    # A strategy may exchange layers (SyncBatchNorm), which the run's own network must not see.
    trained = network if devices == 1 else copy.deepcopy(network)
    channels_last = _channels_last(network, run)
    optimizer_state = OptimizerState() if optimizer_state is None else optimizer_state
    spec = FitSpec(
        trained, stage, round, tuple(teachers), resume_state, resume, channels_last, optimizer_state
    )
    plain_cfg = plain(run.cfg)
    with other_ranks(fit_worker, spec, plain_cfg, run.folder, count=devices - 1):
        trainer, module = fit_rank(spec, run)
    optimizer_state.capture(trainer.optimizers[0], module)
    run.data.trainer = None  # else its loaders would go on sharing the images out
    profiler = getattr(trainer, "profiler", None)
    if isinstance(profiler, SimpleProfiler):
        log.info(profiler.summary())
    epoch = _epochs_done(trainer) - 1
    record = FitRecord() if record is None else record
    record.updates += trainer.global_step
    if sentence := _early_end(trainer):
        log.info(f"  {sentence}")
        record.ended.append(f"round {round + 1}: {sentence}" if stage.rounds > 1 else sentence)
    if run.cfg.trainer.keep == "best":
        best = read_checkpoint(run.checkpoints(stage), BEST)
        if best is None or best["resume_state"].get("round", round) != round:
            raise ConfigError(
                f"No epoch of {stage.name} was validated, so none is the best: lower "
                "trainer.check_val_every_n_epoch, or set trainer.keep=last."
            )
        epoch = best["epoch"]
        module.load_state_dict(best["state_dict"])
    if trained is not network:
        network.load_state_dict(trained.state_dict())
    network.to("cpu").to(memory_format=torch.contiguous_format).eval()
    return epoch


def fit_worker(spec: FitSpec, plain_cfg: dict[str, Any], folder: Path) -> None:
    """The part of another process in a fit: the same steps on other images, and no files.

    Args:
        spec: the fit's.
        plain_cfg: the run's configuration.
        folder: the run directory.
    """
    cfg = OmegaConf.create(plain_cfg)
    pl.seed_everything(cfg.seed, verbose=False)
    fit_rank(spec, RunContext(cfg, make_data(cfg, kept_splits(cfg, folder)), folder))


def fit_rank(spec: FitSpec, run: RunContext) -> tuple[pl.Trainer, Classifier]:
    """Fits the network in this process, together with the other ones where there are any.

    Returns:
        The trainer as it ended, and the module around the fitted network.
    """
    trainer = make_trainer(run, spec.stage, spec.round)
    module = _module(spec, run, trainer)
    module.train()  # Lightning leaves modes alone, and a loaded network comes in eval mode
    with report_errors():
        trainer.fit(
            module,
            datamodule=run.data,
            ckpt_path=spec.resume,
            weights_only=True,
        )
    return trainer, module


def _early_end(trainer: pl.Trainer) -> str | None:
    """A sentence where a fit ended before its last epoch."""
    done, wanted = _epochs_done(trainer), trainer.max_epochs or 0
    if done >= wanted:
        return None
    reason = reason_to_stop(trainer) or "a callback asked for it"
    return f"ended after epoch {done} of {wanted}: {reason}"


def _epochs_done(trainer: pl.Trainer) -> int:
    """The begun ones that were ended, which `current_epoch` may lack right after a resume."""
    progress: Any = trainer.fit_loop.epoch_progress.current
    return int(progress.processed)


def _module(spec: FitSpec, run: RunContext, trainer: pl.Trainer) -> Classifier:
    cfg, data, network, stage = run.cfg, run.data, spec.network, spec.stage
    counts = data.class_counts["train"]
    if spec.channels_last:
        to_channels_last(network)
    settings: dict[str, Any] = {
        "loss": build_loss(cfg.loss, class_counts=counts, network=network),
        "optimizer": lambda module: spec.optimizer_state.restore(
            make_optimizer(module, cfg.optimizer, lr=stage.lr), module
        ),
        "scheduler": lambda optimizer, length: make_schedule(optimizer, cfg.scheduler, length),
        "num_classes": data.num_classes,
        "channels_last": spec.channels_last,
        "mixing": configured_mixing(cfg, data.num_classes),
        "auxiliary": build_auxiliary(cfg.auxiliary, network, class_counts=counts, seed=cfg.seed),
        "penalty": stage.penalty_of(spec.round),
        "resume_state": spec.resume_state,
    }
    data.augmentation_repeats = None
    if not spec.teachers:
        return Classifier(network, **settings)
    seed = (cfg.seed, seed_stream(stage, spec.round))
    return make_distiller(
        network,
        cfg,
        data,
        spec.teachers,
        epochs=stage.epochs_of(spec.round),
        device=trainer.strategy.root_device,
        seed=seed,
        **settings,
    )


def _channels_last(network: Network, run: RunContext) -> bool:
    """Decided once for all processes of a fit: it may be measured."""
    cfg, counts = run.cfg, run.data.class_counts["train"]
    images, labels = next(run.data.train_eval_batches())[:2]
    return choose_channels_last(
        cfg.trainer.memory_format,
        network,
        (images, labels),
        loss=build_loss(cfg.loss, class_counts=counts, network=network),
        device=run.device,
        cache_dir=Path(cfg.cache_dir),
    )
