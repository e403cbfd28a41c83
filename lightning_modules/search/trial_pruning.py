"""`TrialPruning`: a trial of a search reports each epoch and ends where others did better."""

from pathlib import Path
from typing import Any

import optuna
import pytorch_lightning as pl
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from lightning_modules.files import write_json
from lightning_modules.runs import STOPPED
from lightning_modules.search.pruners import make_pruner
from lightning_modules.search.storage import own_trial


class TrialPruning(pl.Callback):
    """Ends the fit where the study's pruner says so; the run goes on with that epoch's weights.

    An epoch reports the best value so far of the objective: while the learning rate is high, single
    epochs say little. The trial returns its last value and counts as any other: Optuna's own way,
    an exception, would count as a failure. Fits after that one, of a compression step, have one
    epoch. The run's folder keeps that the trial was stopped.
    """

    def __init__(self, trial: optuna.Trial, objective: str, folder: Path) -> None:
        self.trial, self.objective, self.path = trial, objective, folder / STOPPED
        reported = trial.study.get_trials(deepcopy=False)[trial.number].intermediate_values
        self.step = max(reported, default=0)
        self.better = max if trial.study.direction.name == "MAXIMIZE" else min
        self.best = reported.get(self.step)

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Reports the best value so far, and ends the fit where the pruner says so."""
        self.step += 1
        value = float(trainer.callback_metrics[self.objective])
        self.best = value if self.best is None else self.better(value, self.best)
        self.trial.report(self.best, self.step)
        if self.path.is_file():
            trainer.should_stop = True
        elif trainer.current_epoch + 1 < (trainer.max_epochs or 0) and self.trial.should_prune():
            write_json(self.path, {"epoch": self.step})
            trainer.should_stop = True


def pruning_callbacks(cfg: DictConfig, folder: Path, epochs: int) -> list[TrialPruning]:
    """The callback of a trial's own run, of so many epochs; none for a teacher on the way."""
    hydra: Any = HydraConfig.get()
    if folder.absolute() != Path(hydra.runtime.output_dir).absolute():
        return []
    objective = cfg.objective if isinstance(cfg.objective, str) else cfg.objective[0]
    trial = own_trial(hydra, cfg.trial, make_pruner(cfg, epochs))
    return [TrialPruning(trial, objective, folder)]
