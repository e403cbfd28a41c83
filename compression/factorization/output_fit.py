"""Kernels of few features that give a layer's outputs with the least squared error.

A kernel is taken as O x a x b: its features are some combinations of the a sides of a window, each
seen b times, and its outputs are regressed on them. Zhang et al. 2016, "Accelerating Very Deep
Convolutional Networks for Classification and Detection", section 3.1, do so with b = 1; SVD-LLM
(Wang et al. 2025, section 3) finds the same by the singular values of the whitened matrix.
"""

import torch
from torch import Tensor


def input_basis(kernel: Tensor, covariance: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """The combinations of a window's sides that its outputs depend on, the first ones the most.

    The b places of a side are taken to be alike and unrelated; with b = 1 nothing is lost by it.

    Args:
        kernel: G x O x a x b in float64.
        covariance: of the windows, G x (a b) x (a b), positive definite.
        rank: how many, at most a and O b.

    Returns:
        Orthonormal rows G x rank x a, and the output energy that each is worth, G x rank.
    """
    groups, _, inputs, places = kernel.shape
    parts = covariance.reshape(groups, inputs, places, inputs, places)
    alike = parts.diagonal(dim1=2, dim2=4).sum(-1) / places  # G x a x a
    tall = kernel.permute(0, 2, 1, 3).flatten(2)  # G x a x O b
    if tall.shape[1] > tall.shape[2]:
        energy, vectors = torch.linalg.eigh(tall.mT @ alike @ tall)
        spanning = tall @ vectors.flip(-1)[..., :rank]
    else:
        root = torch.linalg.cholesky(alike)
        white = root.mT @ tall
        energy, vectors = torch.linalg.eigh(white @ white.mT)
        leading = vectors.flip(-1)[..., :rank]
        spanning = torch.linalg.solve_triangular(root.mT, leading, upper=True)
    # The leading columns of an orthonormal basis span what the leading ones of `spanning` do.
    return torch.linalg.qr(spanning).Q.mT, energy.flip(-1)[:, :rank].clamp(min=0)


class OutputRegression:
    """The least squares of a layer's outputs on features of its windows.

    Args:
        kernel: G x O x a x b in float64.
        covariance: of the windows, G x (a b) x (a b), positive definite.
        basis: independent rows G x R x a, which make R b features.

    Attributes:
        energy: G x R b x O; of the outputs, the part that each feature adds, as roots.
    """

    def __init__(self, kernel: Tensor, covariance: Tensor, basis: Tensor) -> None:
        groups, outputs, inputs, places = kernel.shape
        features = basis.shape[1] * places
        parts = covariance.reshape(groups, inputs, -1)
        half = (basis @ parts).reshape(groups, features, inputs, places)
        inner = torch.einsum("gfab,gra->gfrb", half, basis).reshape(groups, features, features)
        across = half.flatten(2) @ kernel.flatten(2).mT
        self.shape = groups, outputs, basis.shape[1], places
        self._root = torch.linalg.cholesky(inner)
        self.energy = torch.linalg.solve_triangular(self._root, across, upper=False)

    def kernel(self) -> Tensor:
        """What the outputs make of the features, G x O x R x b."""
        solved = torch.linalg.solve_triangular(self._root.mT, self.energy, upper=True)
        return solved.mT.reshape(self.shape)

    def explained(self, features: int) -> Tensor:
        """Covariance of the outputs that follow from the first of R `features`: G x O x O."""
        first = self.energy[:, : features * self.shape[-1]]
        return first.mT @ first


def output_energy(kernel: Tensor, covariance: Tensor) -> Tensor:
    """Of each group, the variance of its outputs, summed: G.

    Args:
        kernel: G x O x ... in float64.
        covariance: of the windows, G x d x d.
    """
    weights = kernel.flatten(2)
    return ((weights @ covariance) * weights).sum((1, 2))
