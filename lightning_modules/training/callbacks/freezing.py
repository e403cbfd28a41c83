"""`Freezing`: some layers stand still for the first epochs of the training."""

from typing import Any, cast

import pytorch_lightning as pl

from lightning_modules.networks import Network, head_layers, layers, matching_layers


class Freezing(pl.Callback):
    """Trains only the head (or what else the patterns leave) before all of the network learns.

    Frozen layers get no gradient, no decay and no optimizer state, and are in eval mode, so that
    BatchNorm neither uses nor changes its batch statistics. The optimizer knows them from the
    start and what is frozen follows from the epoch alone, so a resumed fit needs no state. With
    several processes gradients are made and dropped: what asks for none at first would never be
    shared among the processes.

    Args:
        epochs: how many of the first ones.
        patterns: of the layers that stand still (see `matching_layers`); None means all but the
            head.
    """

    def __init__(self, *, epochs: int, patterns: list[str] | None = None) -> None:
        self.epochs = epochs
        self.patterns = patterns

    def frozen_layers(self, network: Network) -> set[str]:
        """Names of the layers that stand still.

        Raises:
            ConfigError: a pattern matches no layer, or the network has no head.
        """
        if self.patterns is None:
            return set(layers(network)) - head_layers(network)
        return {name for pattern in self.patterns for name in matching_layers(network, pattern)}

    def on_fit_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Finds the layers in the network that is fitted."""
        network = cast(Network, module.network)
        chosen = self.frozen_layers(network)
        self._layers = [layer for name, layer in layers(network).items() if name in chosen]
        own = [p for layer in self._layers for p in layer.parameters(recurse=False)]
        self._parameters = [p for p in own if p.requires_grad]
        self._shared = trainer.world_size > 1

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Freezes in the first epochs, then lets all learn."""
        self._set(frozen=trainer.current_epoch < self.epochs)

    def on_before_optimizer_step(self, trainer: pl.Trainer, *_: Any) -> None:
        """With several processes: drops the gradients of what is frozen."""
        if self._shared and trainer.current_epoch < self.epochs:
            for parameter in self._parameters:
                parameter.grad = None

    def on_fit_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Leaves a network all of whose layers can learn."""
        self._set(frozen=False)

    def _set(self, *, frozen: bool) -> None:
        if not self._shared:
            for parameter in self._parameters:
                parameter.requires_grad_(not frozen)
        for layer in self._layers:
            layer.train(not frozen)
