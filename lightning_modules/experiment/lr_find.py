"""`lr_find=true`: the learning rate of a run is found, drawn, noted and used."""

import itertools
import logging
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from datamodules.loading import ImageData
from lightning_modules.experiment.run_context import RunContext
from lightning_modules.files import read_json, write_json
from lightning_modules.reporting.pictures import save
from lightning_modules.runs import key_of
from lightning_modules.training import RangeTest, build_loss, device_count, range_test

log = logging.getLogger(__name__)

RESULT = "lr_find.json"
PICTURE = Path("figures") / "lr_find.png"


def with_suggested_lr(run: RunContext, network: nn.Module) -> DictConfig:
    """The run's configuration, with the suggested `optimizer.lr` where the command gave none.

    The test is made once and noted in the run's folder; a resumed run reads the note.

    Args:
        run: its configuration says whether and how to look for a rate.
        network: as it enters the training; stays as it is.

    Raises:
        ConfigError: the loss falls at no rate.
    """
    cfg, stored = run.cfg, run.folder / RESULT
    if not cfg.lr_find:
        return cfg
    if not stored.is_file():
        found = _test(run, network)
        draw(found, run.folder / PICTURE)
        write_json(stored, {"suggestion": found.suggestion, **asdict(found)})
    rate = read_json(stored)["suggestion"]
    message = f"lr_find: {rate:g} is where the loss falls most steeply ({PICTURE})"
    if _given_by_the_command():
        log.info(f"{message}; optimizer.lr={cfg.optimizer.lr:g} was given and stays")
        return cfg
    log.info(f"{message}; used as optimizer.lr")
    return cast(DictConfig, OmegaConf.merge(cfg, {"optimizer": {"lr": rate}}))


def draw(found: RangeTest, path: Path) -> None:
    """A picture of the smoothed loss over the rate, the suggestion marked."""
    from matplotlib.figure import Figure  # half a second, and only here

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(found.rates, found.losses)
    axes.axvline(found.suggestion, linestyle="--", color="tab:red")
    axes.text(found.suggestion, max(found.losses), f" {found.suggestion:g}", color="tab:red")
    axes.set(xscale="log", xlabel="learning rate", ylabel="smoothed training loss")
    save(figure, path)


def _test(run: RunContext, network: nn.Module) -> RangeTest:
    cfg = run.cfg
    return range_test(
        network,
        _endless(run.data),
        loss=build_loss(cfg.loss, class_counts=run.data.class_counts["train"], network=network),
        optimizer=cfg.optimizer,
        seed=cfg.seed,
        device=run.device,
        batches_per_step=cfg.trainer.accumulate_grad_batches * device_count(cfg.trainer),
    )


def _endless(data: ImageData) -> Iterator[tuple[Tensor, Tensor]]:
    """The training batches of epoch 0, 1, 2, ..."""
    loader: Any = data.train_dataloader()
    for epoch in itertools.count():
        loader.sampler.set_epoch(epoch)
        yield from loader


def _given_by_the_command() -> bool:
    if not HydraConfig.initialized():
        return False
    return any(key_of(word) == "optimizer.lr" for word in HydraConfig.get().overrides.task)
