"""`GradientReport`: says which parameters no gradient reaches."""

import logging
from typing import Any

import pytorch_lightning as pl

log = logging.getLogger(__name__)
SHOWN = 5  # names in a line


class GradientReport(pl.Callback):
    """Names, once in a fit, the parameters that its first batch gives no gradient.

    They keep their values: a layer behind `detach` or `no_grad`, or one that the loss has no part
    of. Frozen parameters are not meant, until they are let learn in a later epoch.
    """

    def __init__(self) -> None:
        self._told: set[str] = set()
        self._epoch = -1  # that was looked at last

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, module: pl.LightningModule, *_: Any
    ) -> None:
        """Looks at the gradients of the first update of each epoch."""
        if self._epoch == trainer.current_epoch or not trainer.is_global_zero:
            return
        self._epoch = trainer.current_epoch
        network: Any = module.network
        idle = [
            name
            for name, parameter in network.named_parameters()
            if parameter.requires_grad and parameter.grad is None and name not in self._told
        ]
        self._told.update(idle)
        if idle:
            rest = f" and {len(idle) - SHOWN} more" if len(idle) > SHOWN else ""
            log.warning(
                f"No gradient reaches {', '.join(idle[:SHOWN])}{rest}; training changes none of it."
            )

    def on_fit_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Nothing has been looked at in this fit."""
        self._epoch = -1
