"""Hints: the teacher's inner output imitated, and residuals: what the imitation still lacks."""

from torch import Size, Tensor, nn
from torch.nn.functional import mse_loss

from lightning_modules.distillation.feature_term import FeatureTerm, projection, same_size
from lightning_modules.schema import AtLeast0, declared


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


@declared()
class Hints(FeatureTerm):
    """Hint losses, one a pair."""

    weight: AtLeast0 = 100.0  # Tian et al. 2020

    def comparison(self, student: Size, teacher: Size) -> nn.Module:
        """A projection of its own for each pair."""
        return Hint(student, teacher)


def residual_loss(student: Tensor, assistant: Tensor, teacher: Tensor) -> Tensor:
    """Half the mean squares of (teacher - student) and of that residual minus the assistant's.

    Gao et al. 2021, section 3: the student imitates the teacher's output, the assistant the error
    that is left. The error is a target, so no gradient flows through it.

    Args:
        student: N x ..., projected to the teacher's shape.
        assistant: N x ..., of that shape.
        teacher: N x ...
    """
    error = (teacher - student).detach()
    return (mse_loss(student, teacher) + mse_loss(assistant, error)) / 2


class Residual(nn.Module):
    """The projection and the assistant of one pair, and their loss.

    The paper's assistant is a network that looks at the images and is kept beside the student.
    Here only the student is delivered, so the assistant is two layers on the student's own output:
    what it can say of the error, the student must have seen.
    """

    def __init__(self, student: Size, teacher: Size) -> None:
        super().__init__()
        self.projection = projection(student, teacher)
        self.assistant = _assistant(student, teacher)

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The scalar loss of two outputs; of maps of different sizes the larger is averaged."""
        student, teacher = same_size(student, teacher)
        return residual_loss(self.projection(student), self.assistant(student), teacher)


def _assistant(student: Size, teacher: Size) -> nn.Module:
    if len(student) == 4:
        first = nn.Conv2d(student[1], teacher[1], kernel_size=3, padding=1)
        return nn.Sequential(first, nn.ReLU(), nn.Conv2d(teacher[1], teacher[1], kernel_size=1))
    width = teacher[-1]
    return nn.Sequential(nn.Linear(student[-1], width), nn.ReLU(), nn.Linear(width, width))


@declared()
class Residuals(FeatureTerm):
    """Residual losses, one a pair."""

    weight: AtLeast0 = 100.0

    def comparison(self, student: Size, teacher: Size) -> nn.Module:
        """A projection and an assistant of its own for each pair."""
        return Residual(student, teacher)
