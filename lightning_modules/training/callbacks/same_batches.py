"""`SameBatches`: each epoch gets the batches of the first one."""

import pytorch_lightning as pl


class SameBatches(pl.Callback):
    """With few batches an epoch: whether a network can learn them by heart (it must)."""

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        trainer.train_dataloader.sampler.set_epoch(0)
