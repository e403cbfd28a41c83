"""A run's logger as the Trainer of one of its stages sees it."""

import math
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import Logger


class StepCount:
    """The optimizer's steps since a run began; Lightning counts those of one fit.

    Attributes:
        last: at which something was logged last.
    """

    def __init__(self) -> None:
        self.last = 0
        self._before = 0
        self._trainer: pl.Trainer | None = None

    def start_fit(self, trainer: pl.Trainer, *, epochs_before: int) -> None:
        """Counts on from the fits before this one.

        Args:
            trainer: of the fit.
            epochs_before: epochs of the fits before, also of those before a resume.
        """
        self._trainer, self._before = trainer, epochs_before

    def in_run(self, step: int | None) -> int:
        """The number within the run of a step of the present fit; None is the last one logged."""
        if step is not None:
            self.last = max(self.last, step + self._before * self._steps_an_epoch())
        return self.last

    def _steps_an_epoch(self) -> int:
        if self._trainer is None:
            return 0
        batches = self._trainer.num_training_batches
        return math.ceil(batches / self._trainer.accumulate_grad_batches)


class StageLogger(Logger):
    """Logs the metrics of a stage, its name before theirs; the run's logger stays open after it.

    Args:
        logger: of the run.
        stage: such as `00_train`; its metrics are called `00_train-val/f1`.
        steps: of the run, shared by all loggers and stages.
    """

    def __init__(self, logger: Logger, stage: str, steps: StepCount) -> None:
        super().__init__()
        self._logger, self._stage, self._steps = logger, stage, steps

    @property
    def name(self) -> str | None:
        """That of the run's logger."""
        return self._logger.name

    @property
    def version(self) -> int | str | None:
        """That of the run's logger."""
        return self._logger.version

    @property
    def save_dir(self) -> str | None:
        """That of the run's logger."""
        return self._logger.save_dir

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Logs metrics of the stage at a step of its fit."""
        named = {f"{self._stage}-{name}": value for name, value in metrics.items()}
        self._logger.log_metrics(named, self._steps.in_run(step))

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: the run's configuration, which has them all, was logged when it began."""

    def log_graph(self, *args: Any, **kwargs: Any) -> None:
        """Passes it on."""
        self._logger.log_graph(*args, **kwargs)

    def save(self) -> None:
        """Passes it on."""
        self._logger.save()

    def after_save_checkpoint(self, checkpoint_callback: ModelCheckpoint) -> None:
        """Passes it on."""
        self._logger.after_save_checkpoint(checkpoint_callback)

    def finalize(self, status: str) -> None:
        """Only saves: other stages and the results are still to come."""
        self._logger.save()

    def __getattr__(self, name: str) -> Any:
        """What else the logger has, such as `experiment`."""
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._logger, name)
