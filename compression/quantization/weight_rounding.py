"""Rounding weights to few levels, by their size alone or by what it does to a layer's outputs."""

from dataclasses import dataclass

import torch
from torch import Tensor

from compression.layer_moments import LayerMoments

DAMPING = 0.01  # of the mean variance of a layer's inputs, added to each
CLIPS = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7)  # of the largest weight, that the grid reaches to
FEW_BITS = 4  # up to these, clipping the largest weights loses less than it gains
LARGEST = {4: 7, 7: 64, 8: 127}  # level by bits; 7 bits as onnxruntime's reduced range has them


@dataclass(frozen=True, kw_only=True)
class RoundedWeight:
    """A weight on its grid.

    Attributes:
        levels: G x O x d whole numbers.
        scale: G x O x 1.
        shift: G O, to be added to the bias: by so much the mean of the outputs has become less.
    """

    levels: Tensor
    scale: Tensor
    shift: Tensor | None = None

    @property
    def value(self) -> Tensor:
        """What the levels stand for: G x O x d."""
        return self.levels * self.scale


def round_weight(
    weight: Tensor,
    bits: int,
    moments: LayerMoments | None = None,
    *,
    second_order: bool = True,
    bias_correction: bool = True,
) -> RoundedWeight:
    """A weight on the grid of so many bits, symmetric about zero.

    Args:
        weight: G x O x d, in float64.
        bits: 4, 7 or 8.
        moments: of the inputs of the layer; None: each weight goes to the nearest level.
        second_order: round by what it does to the outputs, see `second_order_levels`.
        bias_correction: find the shift of the bias (Nagel et al. 2019, section 4.2).
    """
    largest = LARGEST[bits]
    clips = CLIPS if bits <= FEW_BITS else CLIPS[:1]
    importance = None if moments is None else moments.covariance.double().diagonal(0, 1, 2)
    scale = _scale(weight, largest, clips, importance)
    levels = nearest_levels(weight, scale, largest)
    if moments is None:
        return RoundedWeight(levels=levels, scale=scale)
    covariance = moments.covariance.double()
    if second_order:
        other = second_order_levels(weight, scale, largest, covariance)
        better = _row_energy(other * scale - weight, covariance) < _row_energy(
            levels * scale - weight, covariance
        )
        levels = torch.where(better[..., None], other, levels)
    shift = None
    if bias_correction:
        shift = ((weight - levels * scale) @ moments.mean.double()[..., None]).flatten()
    return RoundedWeight(levels=levels, scale=scale, shift=shift)


def nearest_levels(weight: Tensor, scale: Tensor, largest: int) -> Tensor:
    """The nearest level of each weight."""
    return (weight / scale).round().clamp(-largest, largest)


def second_order_levels(weight: Tensor, scale: Tensor, largest: int, covariance: Tensor) -> Tensor:
    """Levels that change the outputs little: what one rounding does, later weights make up for.

    Frantar et al. 2023, "GPTQ", arXiv:2210.17323, section 3: a row's weights are rounded one after
    the other, those whose inputs vary most first, and each error is spread over the weights that
    are still free as the inverse covariance of the inputs says.

    Args:
        weight: G x O x d.
        scale: G x O x 1.
        largest: level.
        covariance: of the inputs, G x d x d.

    Returns:
        G x O x d.
    """
    variance = covariance.diagonal(0, 1, 2)
    damping = (DAMPING * variance.mean(1)).clamp(min=torch.finfo(torch.float32).tiny)
    order = variance.argsort(1, descending=True)
    by_row = order[:, None].expand_as(weight)
    left, step = weight.gather(2, by_row), scale[..., 0]
    ordered = covariance.gather(1, order[:, :, None].expand_as(covariance))
    ordered = ordered.gather(2, order[:, None].expand_as(covariance)).clone()
    ordered.diagonal(0, 1, 2).add_(damping[:, None])
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(ordered))
    spread = torch.linalg.cholesky(inverse, upper=True)
    levels = torch.empty_like(left)
    for column in range(left.shape[2]):
        level = (left[..., column] / step).round().clamp(-largest, largest)
        levels[..., column] = level
        error = (left[..., column] - level * step) / spread[:, None, column, column]
        left[..., column + 1 :] -= error[..., None] * spread[:, None, column, column + 1 :]
    return torch.empty_like(levels).scatter_(2, by_row, levels)


def _scale(
    weight: Tensor, largest: int, clips: tuple[float, ...], importance: Tensor | None
) -> Tensor:
    """The step of each row's grid, G x O x 1; of several clips that with the least error."""
    reach = weight.abs().amax(2, keepdim=True) / largest
    reach = torch.where(reach > 0, reach, 1.0)
    counted = torch.ones(()) if importance is None else importance[:, None]
    found, least = reach, torch.full_like(reach, torch.inf)
    for clip in clips:
        step = reach * clip
        difference = nearest_levels(weight, step, largest) * step - weight
        error = (difference.square() * counted).sum(2, keepdim=True)
        found = torch.where(error < least, step, found)
        least = torch.minimum(least, error)
    return found.float().double()  # as the file stores it


def _row_energy(difference: Tensor, covariance: Tensor) -> Tensor:
    return ((difference @ covariance) * difference).sum(2)
