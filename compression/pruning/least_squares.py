"""New weights on the inputs that a layer keeps, as near as possible to its outputs before.

He et al. 2017, "Channel Pruning for Accelerating Very Deep Neural Networks", section 3.1, fit a
layer's weights by least squares on images. Here this is done out of the moments of its inputs, with
a ridge towards the weights that survive: where the images say nothing, those stay.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from compression.layer_moments import LayerMoments


@dataclass(frozen=True, kw_only=True)
class CutKernel:
    """A kernel that loses input channels.

    Attributes:
        kernel: G x O x I x kh x kw in float64, of all inputs and of the outputs that survive.
        kept: the inputs that survive, int64 G x K.
        centered: whether a constant added to the outputs does not matter, as something after the
            layer adds another one: its bias, or a BatchNorm.
    """

    kernel: Tensor
    kept: Tensor
    centered: bool

    def cut(self) -> Tensor:
        """The weights on the inputs that survive, as they are: G x O x K x kh x kw."""
        return self.kernel.gather(2, self._columns())

    def refitted(self, moments: LayerMoments, ridge: float) -> Tensor:
        """Those weights that give the outputs with the least squared error, G x O x K x kh x kw.

        Args:
            moments: of the layer's inputs.
            ridge: weight of the squared distance to the cut weights, in mean variances of an input.
        """
        groups, outputs, _, *window = self.kernel.shape
        removed = self._removed().flatten(2)  # G x O x d
        windows = window[0] * window[1]
        kept = self.kept[..., None] * windows + torch.arange(windows)
        found = []
        for number, own in enumerate(kept.flatten(1)):
            second = moments.covariance[number, own]
            products = second.double()  # G's own: K x d
            if not self.centered:
                mean = moments.mean[number].double()
                products = products + torch.outer(mean[own], mean)
            square = products[:, own]
            strength = ridge * square.diagonal().mean().clamp(min=torch.finfo(torch.float32).tiny)
            square.diagonal().add_(strength)
            factor = torch.linalg.cholesky(square)
            found.append(torch.cholesky_solve(products @ removed[number].T, factor).T)
        change = torch.stack(found).reshape(groups, outputs, -1, *window)
        return self.cut() + change

    def error(self, weights: Tensor, moments: LayerMoments) -> float:
        """Squared error of the outputs of a window, summed over the outputs.

        Args:
            weights: on the inputs that survive, G x O x K x kh x kw.
            moments: of the images that the error is on.
        """
        return self._energy(self.difference(weights), moments)

    def energy(self, moments: LayerMoments) -> float:
        """What the error would be of no weights at all."""
        return self._energy(self.kernel, moments)

    def difference(self, weights: Tensor) -> Tensor:
        """The kernel less weights on the inputs that survive, G x O x I x kh x kw."""
        return self.kernel.scatter_add(2, self._columns(), -weights)

    def _energy(self, kernel: Tensor, moments: LayerMoments) -> float:
        energy = moments.output_energy(kernel)
        return (
            energy if self.centered else energy + float(moments.output_mean(kernel).square().sum())
        )

    def _columns(self) -> Tensor:
        groups, outputs, _, *window = self.kernel.shape
        columns = self.kept[:, None, :, None, None]
        return columns.expand(groups, outputs, -1, *window)

    def _removed(self) -> Tensor:
        return self.kernel.scatter(2, self._columns(), 0.0)
