"""Attention transfer: the student looks where the teacher looks."""

from torch import Size, Tensor, nn
from torch.nn.functional import normalize

from lightning_modules.distillation.feature_term import (
    FeatureTerm,
    ParameterFreeLoss,
    refuse,
    same_size,
)
from lightning_modules.schema import AtLeast0, declared


def attention_map(output: Tensor) -> Tensor:
    """Where a map N x C x H x W is strong: N x HW, the mean over channels of its squares, unit L2.

    Zagoruyko and Komodakis 2017, section 3.1, with p = 2.
    """
    return normalize(output.square().mean(dim=1).flatten(1), dim=1)


def attention_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """The mean squared difference of the attention maps of N x C x H x W outputs.

    Eq. 2 of the paper, as its authors' code has it: squared, the mean over images and places. The
    channels may differ; of maps of different sizes the larger is averaged first.
    """
    student, teacher = same_size(student, teacher)
    return (attention_map(student) - attention_map(teacher)).square().mean()


@declared()
class Attention(FeatureTerm):
    """Attention losses, one a pair."""

    weight: AtLeast0 = 1000.0  # Tian et al. 2020

    def comparison(self, student: Size, teacher: Size) -> nn.Module:
        """Refuses all but maps; has no parameters."""
        if len(student) != 4 or len(teacher) != 4:
            raise refuse(student, teacher, "attention transfer needs maps N x C x H x W of both.")
        return ParameterFreeLoss(attention_loss)
