"""Similarity-preserving distillation: images alike for the teacher are alike for the student."""

from torch import Size, Tensor, nn
from torch.nn.functional import normalize

from lightning_modules.distillation.feature_term import Compared, FeatureTerm


def similarities(outputs: Tensor) -> Tensor:
    """Products N x N of the flattened outputs N x ..., each row of unit L2 norm (eqs. 1 and 2)."""
    outputs = outputs.flatten(1)
    return normalize(outputs @ outputs.T, dim=1)


def similarity_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """The mean squared difference of the similarities (Tung and Mori 2019, eq. 4).

    Args:
        student: N x ...
        teacher: N x ..., of any other size.
    """
    return (similarities(student) - similarities(teacher)).square().mean()


class Similarity(FeatureTerm):
    """Similarity losses, one a pair; the shapes of its two outputs need not agree."""

    def comparison(self, student: Size, teacher: Size) -> nn.Module:
        return Compared(similarity_loss)
