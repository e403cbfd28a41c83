"""Hints: the student's inner output, projected, should be the teacher's."""

from torch import Size, Tensor, nn
from torch.nn.functional import mse_loss

from lightning_modules.distillation.feature_term import FeatureTerm
from lightning_modules.distillation.projection import projection, same_size


def hint_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Half the mean squared difference (Romero et al. 2015, FitNets, eq. 3).

    The paper sums over the elements; the mean makes a weight mean the same for every module.

    Args:
        student: N x ..., with the teacher's shape.
        teacher: N x ...
    """
    return mse_loss(student, teacher) / 2


class Hint(nn.Module):
    """The projection of one pair, and its loss."""

    def __init__(self, student: Size, teacher: Size) -> None:
        super().__init__()
        self.projection = projection(student, teacher)

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The scalar loss of two outputs; of maps of different sizes the larger is averaged."""
        student, teacher = same_size(student, teacher)
        return hint_loss(self.projection(student), teacher)


class Hints(FeatureTerm):
    """Hint losses, one a pair."""

    def comparison(self, student: Size, teacher: Size) -> nn.Module:
        return Hint(student, teacher)
