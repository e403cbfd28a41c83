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
        scale: of the error of each output channel; None: all count as they are.
        norm: name of the BatchNorm that the scale is of.
    """

    def __init__(
        self,
        moments: LayerMoments,
        *,
        centered: bool,
        scale: Tensor | None = None,
        norm: str | None = None,
    ) -> None:
        self.moments, self.centered, self.scale, self.norm = moments, centered, scale, norm
        self._ridges = _shrinkage(self._second(), moments.positions)

    def plan(self) -> WhitenedPlan:
        """What a plan says of it."""
        found: WhitenedPlan = {
            "windows": self.moments.positions,
            "inputs": self.moments.mean.shape[-1],
            "ridge": float(self._ridges.mean()),
            "centered": self.centered,
        }
        if self.scale is not None and self.norm is not None:
            found["norm"] = self.norm
        return found

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

    def scaled(self, weights: Tensor) -> Tensor:
        """Weights G x O x ..., whose outputs then count alike."""
        return weights if self.scale is None else weights * self._scale_of(weights)

    def unscaled(self, weights: Tensor) -> Tensor:
        """The same back."""
        return weights if self.scale is None else weights / self._scale_of(weights)

    def _scale_of(self, weights: Tensor) -> Tensor:
        assert self.scale is not None
        return self.scale.reshape(*weights.shape[:2], *[1] * (weights.ndim - 2))

    def error(self, kernel: Tensor) -> float:
        """What is off by it in the outputs on the images, squared, for a kernel that is off.

        Args:
            kernel: the difference of two, G x O x I x kh x kw in float64.
        """
        return float(output_energy(self.scaled(kernel), self._second()).sum())

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
