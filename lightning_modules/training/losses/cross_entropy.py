"""Cross-entropy."""

from torch import Tensor
from torch.nn import functional

from lightning_modules.training.losses.weighted import WeightedLoss, probabilities


class CrossEntropy(WeightedLoss):
    """-log p of the target class; settings as of `WeightedLoss`.

    With `class_weights=effective_number` it is the class-balanced softmax loss of Cui et al. 2019,
    "Class-Balanced Loss Based on Effective Number of Samples", section 4.2.
    """

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Logits N x classes, targets int64 N or N x classes -> scalar."""
        targets = probabilities(targets, logits.shape[1])
        return self.mean(-functional.log_softmax(logits.float(), dim=1), targets)
