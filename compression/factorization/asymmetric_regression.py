"""Least squares of a layer's outputs on inputs that are no longer those of its network."""

import torch
from torch import Tensor

LEAST_ENERGY = 1e-30  # of inputs or outputs that are all 0


class AsymmetricRegression:
    """What least squares needs of windows and the outputs that are wanted of them.

    Args:
        seen: G x R x d, the windows of R places.
        wanted: G x R x O, without the bias of the layer.
        centered: whether a shift of the outputs' mean is taken up by something else.

    Attributes:
        covariance: G x d x d in float64 on the CPU, as the others.
        across: G x O x d, of outputs and windows.
        energy: of the outputs.
    """

    def __init__(self, seen: Tensor, wanted: Tensor, *, centered: bool) -> None:
        mean, aim = seen.mean(1, keepdim=True), wanted.mean(1, keepdim=True)
        self._means = mean[:, 0].cpu().double(), aim[:, 0].cpu().double()
        if centered:
            seen, wanted = seen - mean, wanted - aim
        count = seen.shape[1]
        self.covariance = (seen.mT @ seen).cpu().double() / count
        self.across = (wanted.mT @ seen).cpu().double() / count
        self.energy = float(wanted.square().sum(-1).mean(1).sum())

    def error(self, kernel: Tensor) -> float:
        """The ratio of the outputs' energy that a kernel G x O x I x kh x kw leaves."""
        weights = kernel.flatten(2)
        left = (weights @ self.covariance - 2 * self.across) * weights
        return (self.energy + float(left.sum())) / max(self.energy, LEAST_ENERGY)

    def towards(self, kernel: Tensor, ridge: float) -> tuple[Tensor, Tensor]:
        """The kernel of least squares, and the covariance that it is the best for.

        Args:
            kernel: that it is drawn to.
            ridge: how much, in units of the windows' mean energy.
        """
        size = self.covariance.shape[-1]
        energy = self.covariance.diagonal(dim1=1, dim2=2).mean(1).clamp(min=LEAST_ENERGY)
        own = ridge * energy[:, None, None]
        covariance = self.covariance + own * torch.eye(size, dtype=own.dtype)
        across = self.across + own * kernel.flatten(2)
        found = torch.cholesky_solve(across.mT, torch.linalg.cholesky(covariance)).mT
        return found.reshape(kernel.shape), covariance

    def shift(self, kernel: Tensor) -> Tensor:
        """What is missing of the outputs' mean: G O."""
        seen, wanted = self._means
        return (wanted - (kernel.flatten(2) @ seen[..., None])[..., 0]).flatten()
