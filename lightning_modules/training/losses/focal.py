"""Focal loss."""

from torch import Tensor
from torch.nn import functional

from lightning_modules.training.losses.schema import FocalSettings
from lightning_modules.training.losses.weighted import WeightedLoss, probabilities

SURE = 1e-12  # least 1 - p: below it the slope of (1 - p)^gamma may have no finite value


class Focal(FocalSettings, WeightedLoss):
    """-(1 - p)^gamma log p of the target class, so that images that are known already count less.

    Lin et al. 2017, "Focal Loss for Dense Object Detection", section 3.2, with softmax in place of
    sigmoid; for two classes both are the same.
    """

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Logits N x classes, targets int64 N or N x classes -> scalar."""
        log_p = functional.log_softmax(logits.float(), dim=1)
        missing = -log_p.expm1()  # 1 - p, exact also where p is almost 1
        terms = -missing.clamp_min(SURE).pow(self.gamma) * log_p
        return self.mean(terms, probabilities(targets, logits.shape[1]))
