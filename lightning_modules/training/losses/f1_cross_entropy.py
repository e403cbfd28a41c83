"""Soft macro-F1 and cross-entropy together."""

from collections.abc import Sequence

from torch import Tensor, nn

from lightning_modules.training.losses.cross_entropy import CrossEntropy
from lightning_modules.training.losses.schema import check_limits
from lightning_modules.training.losses.soft_f1 import SoftF1


class F1CrossEntropy(nn.Module):
    """`f1_weight` * `SoftF1` + `cross_entropy_weight` * `CrossEntropy`.

    Args:
        f1_weight: of the soft F1, at least 0.
        cross_entropy_weight: of the cross-entropy, at least 0.
        class_weights: of both; this and the others as of `WeightedLoss`.
    """

    def __init__(
        self,
        *,
        f1_weight: float = 1.0,
        cross_entropy_weight: float = 1.0,
        class_weights: str = "none",
        beta: float = 0.999,
        label_smoothing: float = 0.0,
        class_counts: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        check_limits({"f1_weight": f1_weight, "cross_entropy_weight": cross_entropy_weight})
        classes = {"class_weights": class_weights, "beta": beta, "class_counts": class_counts}
        self.f1 = SoftF1(**classes)
        self.cross_entropy = CrossEntropy(label_smoothing=label_smoothing, **classes)
        self.f1_weight, self.cross_entropy_weight = f1_weight, cross_entropy_weight

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Logits N x classes, targets int64 N or N x classes -> scalar."""
        f1, cross_entropy = self.f1(logits, targets), self.cross_entropy(logits, targets)
        return self.f1_weight * f1 + self.cross_entropy_weight * cross_entropy
