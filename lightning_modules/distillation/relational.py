"""Images lie to each other as they do for the teacher: relations (RKD) and similarities."""

from functools import partial

import torch
from torch import Size, Tensor, nn
from torch.nn.functional import normalize, smooth_l1_loss

from lightning_modules.distillation.feature_term import FeatureTerm, ParameterFreeLoss
from lightning_modules.distillation.term_settings import RelationalSettings
from lightning_modules.schema import AtLeast0, declared


def distances(outputs: Tensor) -> Tensor:
    """Euclidean distances N x N between outputs N x D, over their mean (Park et al. 2019, eq. 3).

    The mean is over pairs of different images.
    """
    # Computed from differences: the shortcut by products loses small distances.
    found = torch.cdist(outputs, outputs, compute_mode="donot_use_mm_for_euclid_dist")
    pairs = len(outputs) * (len(outputs) - 1)
    return found / (found.sum() / max(pairs, 1)).clamp_min(1e-12)


def angles(outputs: Tensor) -> Tensor:
    """Cosines N x N x N of the angle at j between i and k, for outputs N x D (eq. 6).

    Zero where i or k is j. Computed from products of outputs, so that memory does not grow with D.
    """
    outputs = outputs - outputs.mean(dim=0)  # angles stay, and less is lost in the differences
    products = outputs @ outputs.T  # N x N
    length = torch.cdist(outputs, outputs, compute_mode="donot_use_mm_for_euclid_dist")
    own = products.diagonal()
    # (x_i - x_j) . (x_k - x_j), indexed [j, i, k]
    dots = products[None] - products[:, :, None] - products[:, None, :] + own[:, None, None]
    lengths = length[:, :, None] * length[:, None, :]
    return torch.where(lengths > 0, dots / lengths.clamp_min(1e-12), 0.0)


def relational_loss(
    student: Tensor, teacher: Tensor, *, distance_weight: float, angle_weight: float
) -> Tensor:
    """Huber losses of distances and angles among the images of a batch (eqs. 5 and 8).

    Args:
        student: N x ..., flattened.
        teacher: N x ..., of any other size.
        distance_weight: of the distances.
        angle_weight: of the angles.
    """
    student, teacher = student.flatten(1), teacher.flatten(1)
    return distance_weight * smooth_l1_loss(
        distances(student), distances(teacher)
    ) + angle_weight * smooth_l1_loss(angles(student), angles(teacher))


class Relational(RelationalSettings, FeatureTerm):
    """Relational losses, one a pair; the shapes of its two outputs need not agree."""

    def comparison(self, student: Size, teacher: Size) -> nn.Module:
        """Takes any two shapes; has no parameters."""
        loss = partial(
            relational_loss, distance_weight=self.distance_weight, angle_weight=self.angle_weight
        )
        return ParameterFreeLoss(loss)


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


@declared()
class Similarity(FeatureTerm):
    """Similarity losses, one a pair; the shapes of its two outputs need not agree."""

    weight: AtLeast0 = 3000.0  # as in the paper

    def comparison(self, student: Size, teacher: Size) -> nn.Module:
        """Takes any two shapes; has no parameters."""
        return ParameterFreeLoss(similarity_loss)
