"""`TrialPruning`: a trial of a search reports each epoch and ends where others did better."""

from pathlib import Path
from typing import Any

import optuna
import pytorch_lightning as pl
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from lightning_modules.files import read_json, write_json
from lightning_modules.runs import STOPPED
from lightning_modules.search.pruners import make_pruner
from lightning_modules.search.storage import own_trial


class TrialPruning(pl.Callback):
    """Ends the fit where the study's pruner says so; the run goes on with that epoch's weights.

    An epoch reports the best value so far of the objective: while the learning rate is high, single
    epochs say little. The trial returns its last value and counts as any other: Optuna's own way,
    an exception, would count as a failure. Fits after that one, of a compression step, have one
    epoch. The run's folder keeps that the trial was stopped, and in which epoch.

    Epochs are counted over all fits, so that those which a resumed trial repeats are reported
    under their own numbers. One without validation reports nothing.
    """

    def __init__(
        self, trial: optuna.Trial, objective: str, folder: Path, *, epochs_before: int = 0
    ) -> None:
        self.trial, self.objective, self.path = trial, objective, folder / STOPPED
        known = trial.study.get_trials(deepcopy=False)[trial.number].intermediate_values
        self.reported = dict(known)
        self.better = max if trial.study.direction.name == "MAXIMIZE" else min
        self.before = epochs_before
        self.stop_reason: str | None = None  # said where it ends a fit

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Stops at once a resumed fit in which the trial had been stopped, or a later one."""
        if trainer.current_epoch and self.path.is_file():
            stopped = read_json(self.path)["epoch"]
            if self.before + trainer.current_epoch >= stopped:
                self._stop(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Reports the best value so far, and ends the fit where the pruner says so."""
        step, measured = self.before + trainer.current_epoch + 1, trainer.callback_metrics
        if self.objective in measured:
            earlier = [value for epoch, value in self.reported.items() if epoch < step]
            self.reported[step] = self.better([*earlier, float(measured[self.objective])])
            self.trial.report(self.reported[step], step)
        if self.path.is_file():
            self._stop(trainer)
        elif trainer.current_epoch + 1 < (trainer.max_epochs or 0) and self.trial.should_prune():
            write_json(self.path, {"epoch": step})
            self._stop(trainer)

    def _stop(self, trainer: pl.Trainer) -> None:
        trainer.should_stop = True
        self.stop_reason = "pruned: other trials of the search did better by then (sweep.pruner)"


def pruning_callbacks(
    cfg: DictConfig, folder: Path, epochs: int, *, epochs_before: int
) -> list[TrialPruning]:
    """The callback of a trial's own run; none for a teacher on the way.

    Args:
        cfg: the trial's configuration.
        folder: of the run that is trained.
        epochs: of all fits of the run.
        epochs_before: of the fits before this one.
    """
    hydra: Any = HydraConfig.get()
    if folder.absolute() != Path(hydra.runtime.output_dir).absolute():
        return []
    objective = cfg.objective if isinstance(cfg.objective, str) else cfg.objective[0]
    trial = own_trial(hydra, cfg.trial, make_pruner(cfg, epochs))
    return [TrialPruning(trial, objective, folder, epochs_before=epochs_before)]
