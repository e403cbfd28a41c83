"""DIST: the student keeps the teachers' order of classes and of images, not their exact values."""

from torch import Tensor
from torch.nn.functional import cosine_similarity

from lightning_modules.distillation.logit_term import LogitTerm
from lightning_modules.distillation.term_settings import DistSettings


def pearson_distance(a: Tensor, b: Tensor) -> Tensor:
    """1 - the mean of the rows' Pearson correlations, for a and b N x C (Huang et al. 2022, eq. 7).

    A constant row correlates with nothing: 0.
    """
    a, b = a - a.mean(dim=1, keepdim=True), b - b.mean(dim=1, keepdim=True)
    return 1 - cosine_similarity(a, b, dim=1, eps=1e-8).mean()


class Dist(DistSettings, LogitTerm):
    """T^2 (inter_weight * distance of rows + intra_weight * distance of columns).

    Rows are the classes of one image, columns the images of one class (Huang et al. 2022, section
    4): a student may be less sure than its teachers, if only it ranks alike.
    """

    def divergence(self, log_student: Tensor, targets: Tensor, labels: Tensor) -> Tensor:
        """The distances of rows and columns, weighted."""
        student = log_student.exp()
        inter = pearson_distance(student, targets)
        intra = pearson_distance(student.T, targets.T)
        return self.inter_weight * inter + self.intra_weight * intra
