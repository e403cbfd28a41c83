"""`FeatureTerm`: a distillation loss on the outputs of inner modules of student and teacher."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from torch import Size, Tensor, nn

from lightning_modules.errors import ConfigError

Comparison = Callable[[Tensor, Tensor], Tensor]


class FeatureTerm(ABC):
    """A loss between pairs of modules, which the teachers' `features` name.

    Args:
        weight: of this term in the sum of all terms.
        features: the student's modules that it looks at; None means all pairs.
    """

    def __init__(self, *, weight: float, features: Sequence[str] | None = None) -> None:
        self.weight = weight
        self.features = None if features is None else tuple(features)

    def looks_at(self, path: str) -> bool:
        """Whether the term compares this module of the student's."""
        return self.features is None or path in self.features

    @abstractmethod
    def comparison(self, student: Size, teacher: Size) -> nn.Module:
        """A module that makes a scalar of both outputs; its parameters train with the student.

        Args:
            student: shape of the student's output, of any number of images.
            teacher: that of the teacher's.

        Raises:
            ConfigError: these shapes cannot be compared; says both.
        """


class Compared(nn.Module):
    """A comparison without parameters."""

    def __init__(self, loss: Comparison) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The scalar loss of two outputs."""
        return self.loss(student, teacher)


def refuse(student: Size, teacher: Size, why: str) -> ConfigError:
    """The sentence on two shapes that do not go together."""
    return ConfigError(f"the student gives {_shown(student)}, the teacher {_shown(teacher)}: {why}")


def _shown(shape: Size) -> str:
    return " x ".join(["N", *map(str, shape[1:])])
