"""Projections: bring the student's output to the teacher's shape; trained, then thrown away."""

from torch import Size, Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from lightning_modules.distillation.feature_term import refuse


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
    pairs = zip(student.shape[-2:], teacher.shape[-2:], strict=True)
    size = tuple(min(pair) for pair in pairs)
    return adaptive_avg_pool2d(student, size), adaptive_avg_pool2d(teacher, size)
