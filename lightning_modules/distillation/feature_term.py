"""`FeatureTerm`: a distillation loss on the outputs of inner modules of student and teacher.

Where their shapes differ, projections lead from one to the other: trained, then thrown away.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable

from torch import Size, Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from lightning_modules.distillation.term_settings import FeatureTermSettings
from lightning_modules.errors import ConfigError

Comparison = Callable[[Tensor, Tensor], Tensor]


class FeatureTerm(FeatureTermSettings, ABC):
    """A loss between pairs of modules, which the teachers' `features` name.

    A term of one's own derives from this and has `comparison`.
    """

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


class ParameterFreeLoss(nn.Module):
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


def projection(student: Size, teacher: Size) -> nn.Module:
    """Maps the student's output to the teacher's number of channels.

    A 1x1 convolution for maps N x C x H x W, a Linear for N x C and N x L x C; the identity where
    the channels agree.

    Raises:
        ConfigError: the numbers of dimensions differ, or the numbers of tokens.
    """
    if len(student) != len(teacher) or len(student) not in (2, 3, 4):
        raise refuse(
            student, teacher, "no projection leads from one to the other; name modules of one kind."
        )
    if len(student) == 3 and student[1] != teacher[1]:
        raise refuse(student, teacher, "both need the same number of tokens.")
    channel = 1 if len(student) == 4 else -1
    if student[channel] == teacher[channel]:
        return nn.Identity()
    if len(student) == 4:
        return nn.Conv2d(student[1], teacher[1], kernel_size=1)
    return nn.Linear(student[-1], teacher[-1])


def same_size(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Maps of the smaller height and width of two maps; other outputs stay as they are.

    The larger one is averaged, as networks themselves do on the way down.
    """
    if student.ndim != 4 or student.shape[-2:] == teacher.shape[-2:]:
        return student, teacher
    height = min(student.shape[-2], teacher.shape[-2])
    size = (height, min(student.shape[-1], teacher.shape[-1]))
    return adaptive_avg_pool2d(student, size), adaptive_avg_pool2d(teacher, size)
