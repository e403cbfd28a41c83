"""`EMA`: the exponential moving average of the weights, which is what the run delivers."""

from collections.abc import Sequence

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from lightning_modules.training.callbacks.schema import EMASettings


class EMA(WeightAveraging):
    """Averages weights and BatchNorm statistics after each update (Polyak and Juditsky 1992).

    Validation sees the average, checkpoints hold it as `state_dict` (the weights in training
    beside it), and the network leaves the fit with it. The decay of update n is
    min(`decay`, (1 + n) / (10 + n)), as TensorFlow's average has it: else a short fit would
    deliver little more than its first weights.

    Args:
        decay: share of the average that an update keeps, in (0, 1).
    """

    def __init__(self, *, decay: float = 0.999) -> None:
        self.decay = EMASettings(decay=decay).decay
        super().__init__()

    def setup(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        """Starts the average at the weights of the module's parts."""
        # Not the whole module: teachers and stored logits hang on it, which never change.
        parts = nn.ModuleDict(dict(module.named_children()))
        self._average_model = AveragedModel(
            parts, device=module.device, multi_avg_fn=self._average, use_buffers=True
        )

    @torch.no_grad()
    def _average(
        self, averages: Sequence[Tensor], currents: Sequence[Tensor], count: Tensor | int
    ) -> None:
        updates = int(count)
        decay = min(self.decay, (1 + updates) / (10 + updates))
        for average, current in zip(averages, currents, strict=True):
            if average.is_floating_point():
                average.lerp_(current, 1 - decay)
            else:
                average.copy_(current)  # a counter of batches

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Nothing: a fit that was killed after its last epoch is resumed without this hook."""

    def on_fit_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """The network leaves the fit with the average."""
        self._copy_average_to_current(module)
