"""Soft macro-F1 and focal loss together."""

from collections.abc import Sequence

from torch import Tensor, nn

from lightning_modules.training.losses.focal import Focal
from lightning_modules.training.losses.schema import check_limits
from lightning_modules.training.losses.soft_f1 import SoftF1


class F1Focal(nn.Module):
    """`f1_weight` * `SoftF1` + `focal_weight` * `Focal`.

    The first aims at the figure itself but hardly says where to go while the network knows
    nothing; the second does.

    Args:
        f1_weight: of the soft F1, at least 0.
        focal_weight: of the focal loss, at least 0.
        gamma: of the focal loss.
        class_weights: of both; this and the others as of `WeightedLoss`.
    """

    def __init__(
        self,
        *,
        f1_weight: float = 1.0,
        focal_weight: float = 1.0,
        gamma: float = 2.0,
        class_weights: str = "none",
        beta: float = 0.999,
        label_smoothing: float = 0.0,
        class_counts: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        check_limits({"f1_weight": f1_weight, "focal_weight": focal_weight})
        classes = {"class_weights": class_weights, "beta": beta, "class_counts": class_counts}
        self.f1 = SoftF1(**classes)
        self.focal = Focal(gamma=gamma, label_smoothing=label_smoothing, **classes)
        self.f1_weight, self.focal_weight = f1_weight, focal_weight

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Logits N x classes, targets int64 N or N x classes -> scalar."""
        f1, focal = self.f1(logits, targets), self.focal(logits, targets)
        return self.f1_weight * f1 + self.focal_weight * focal
