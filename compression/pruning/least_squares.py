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

    def difference(self, weights: Tensor) -> Tensor:
        """The kernel less weights on the inputs that survive, G x O x I x kh x kw."""
        return self.kernel.scatter_add(2, self._columns(), -weights)

    def energy(self, moments: LayerMoments) -> float:
        """Squares of the outputs before, summed over them; centered, where the rest is."""
        energy = moments.output_energy(self.kernel)
        mean = 0.0 if self.centered else float(moments.output_mean(self.kernel).square().sum())
        return energy + mean

    def equations(self, moments: LayerMoments) -> "NormalEquations":
        """What a change of the weights does to the outputs of windows with these moments."""
        groups, _, inputs, *window = self.kernel.shape
        gone = torch.ones(groups, inputs, dtype=torch.bool).scatter(1, self.kept, value=False)
        removed = gone.nonzero()[:, 1].view(groups, -1)
        squares, rights, error = [], [], 0.0
        for number, kernel in enumerate(self.kernel.flatten(2)):
            kept, lost = (_windows(each[number], window) for each in (self.kept, removed))
            square, cross, rest = (
                self._second(moments, number, rows, columns)
                for rows, columns in ((kept, kept), (kept, lost), (lost, lost))
            )
            own = kernel[:, lost]
            squares.append(square)
            rights.append(cross @ own.T)
            error += float(((own @ rest) * own).sum())
        return NormalEquations(square=torch.stack(squares), right=torch.stack(rights), error=error)

    def _second(self, moments: LayerMoments, group: int, rows: Tensor, columns: Tensor) -> Tensor:
        second = moments.covariance[group][rows[:, None], columns].double()
        if self.centered:
            return second
        mean = moments.mean[group].double()
        return second.addr_(mean[rows], mean[columns])

    def _columns(self) -> Tensor:
        groups, outputs, _, *window = self.kernel.shape
        columns = self.kept[:, None, :, None, None]
        return columns.expand(groups, outputs, -1, *window)


@dataclass(frozen=True, kw_only=True)
class NormalEquations:
    """The squared error of a layer's outputs, as a function of a change of its cut weights.

    Attributes:
        square: G x k x k, second moments of the k = K kh kw inputs of a group that survive.
        right: G x k x O, of those with the outputs that are lost.
        error: squared error of the cut weights as they are, summed over the outputs.
    """

    square: Tensor
    right: Tensor
    error: float

    def solution(self, ridge: float) -> Tensor:
        """The change of the cut weights with the least squared error, G x O x k.

        Args:
            ridge: weight of its own square, in mean squares of an input.
        """
        strength = ridge * self.square.diagonal(dim1=1, dim2=2).mean(1)
        strength = strength.clamp(min=torch.finfo(torch.float32).tiny)
        square = self.square.clone()
        square.diagonal(dim1=1, dim2=2).add_(strength[:, None])
        return torch.cholesky_solve(self.right, torch.linalg.cholesky(square)).mT

    def error_after(self, change: Tensor) -> float:
        """Squared error of the cut weights with a change G x O x k, summed over the outputs."""
        change = change.mT
        return self.error + float(((self.square @ change - 2 * self.right) * change).sum())


def _windows(channels: Tensor, window: list[int]) -> Tensor:
    """Where the numbers of channels are in the windows of a kernel."""
    size = window[0] * window[1]
    return (channels[:, None] * size + torch.arange(size)).flatten()
