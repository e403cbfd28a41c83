"""The inputs of a layer as its factorisation sees them: a covariance that can be relied on.

The squared error of the outputs of a kernel that is off by E is tr(E C E^T), C the covariance of
the windows that it is given. Of few windows C is wrong where it matters most, in the directions
that it holds to be empty; so it is shrunk towards white noise of the same energy, which pulls the
factors towards those of the weights alone. Chen et al. 2010, "Shrinkage Algorithms for MMSE
Covariance Estimation", section III-C, have how far in closed form, here without what vanishes for
many inputs.
"""

import torch
from torch import Tensor

from compression.factorization.output_fit import output_energy
from compression.factorization.plan import WhitenedPlan
from compression.layer_moments import LayerMoments

LEAST_RIDGE = 1e-6  # moments are summed in float32, whose noise must not pass for a direction


class Whitening:
    """What a layer's outputs make of an error in its kernel, on training images.

    Args:
        moments: of the layer's inputs.
        centered: whether something after the kernel takes up a shift of its outputs' mean.

    """

    def __init__(self, moments: LayerMoments, *, centered: bool) -> None:
        self.moments, self.centered = moments, centered
        self._ridges = _shrinkage(self._second(), moments.positions)

    def plan(self) -> WhitenedPlan:
        """What a plan says of it."""
        return {
            "windows": self.moments.positions,
            "inputs": self.moments.mean.shape[-1],
            "ridge": float(self._ridges.mean()),
            "centered": self.centered,
        }

    @property
    def covariance(self) -> Tensor:
        """G x d x d in float64, shrunk; made anew each time, as it may be large."""
        second = self._second()
        size = second.shape[-1]
        energy = second.diagonal(dim1=1, dim2=2).mean(1)
        # A layer whose inputs never change tells nothing: then the weights alone count.
        noise = torch.where(energy > 0, self._ridges * energy, torch.ones_like(energy))
        return (1 - self._ridges)[:, None, None] * second + noise[:, None, None] * torch.eye(
            size, dtype=second.dtype
        )

    def error(self, kernel: Tensor) -> float:
        """What is off by it in the outputs on the images, squared, for a kernel that is off.

        Args:
            kernel: the difference of two, G x O x I x kh x kw in float64.
        """
        return float(output_energy(kernel, self._second()).sum())

    def _second(self) -> Tensor:
        second = self.moments.covariance.double()
        if not self.centered:
            mean = self.moments.mean.double()
            second = second + mean[:, :, None] * mean[:, None, :]
        return second


def _shrinkage(covariance: Tensor, count: int) -> Tensor:
    """The ratio of white noise, G: of covariances G x d x d that are of `count` windows."""
    size = covariance.shape[-1]
    energy = covariance.diagonal(dim1=1, dim2=2).sum(1).square()
    square = covariance.square().sum((1, 2))
    excess = (count + 1) * (square - energy / size)
    ratio = torch.where(excess > 0, (square + energy) / excess, 1.0)
    return ratio.clamp(LEAST_RIDGE, 1.0)
