"""A layer's weights as one kernel per group, G x O x I x kh x kw in float64 on the CPU, and the
singular values and leading directions of its unfoldings.

They come from the eigenvalues of Gram matrices. For the wide unfoldings of kernels that is several
times faster than a singular value decomposition, and in float64 as good for what is done here:
directions are only ever projected onto.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from compression.cost.geometry import Layer, factors_of
from compression.errors import CompressionError
from compression.factorization.computed_weight import layer_weight


def kernel_of(layer: Layer) -> Tensor:
    """The kernel of a convolution or Linear (kh = kw = 1), or of what a product stands for.

    Raises:
        CompressionError: it holds a NaN or an infinity.
        TypeError: a layer that does something else with its weight, see `layer_weight`.
    """
    factors = factors_of(layer)
    groups = getattr(factors[0], "groups", 1)
    kernel = _grouped(factors[0], groups)
    for factor in factors[1:]:
        kernel = _after(_grouped(factor, groups), kernel)
    if not kernel.isfinite().all():
        raise CompressionError("A kernel with NaN or infinite weights cannot be factorised.")
    return kernel


def _grouped(layer: nn.Conv2d | nn.Linear, groups: int) -> Tensor:
    """The kernel of a factor as G blocks, of which a depthwise factor fills only the diagonals."""
    weight = layer_weight(layer)
    if weight is None:
        raise TypeError(f"{type(layer).__name__} is no plain convolution or Linear.")
    weight = weight.to("cpu", torch.float64)
    weight = weight[:, :, None, None] if weight.ndim == 2 else weight
    outputs, inputs, *window = weight.shape
    parts = getattr(layer, "groups", 1) // groups
    small = weight.reshape(groups, parts, outputs // (groups * parts), inputs, *window)
    if parts == 1:
        return small[:, 0]
    blocks = small.new_zeros(groups, parts, small.shape[2], parts, inputs, *window)
    diagonal = torch.arange(parts)
    blocks[:, diagonal, :, diagonal] = small.transpose(0, 1)
    return blocks.reshape(groups, outputs // groups, parts * inputs, *window)


def _after(second: Tensor, first: Tensor) -> Tensor:
    """The kernel of `second` done after `first`; along each axis one of them has size 1."""
    product = torch.einsum("gomab,gmihw->goiahbw", second, first)
    groups, outputs, inputs, a, h, b, w = product.shape
    return product.reshape(groups, outputs, inputs, a * h, b * w)


@dataclass(frozen=True)
class Spectrum:
    """Singular values of one unfolding of a kernel.

    Attributes:
        values: G x n, largest first; one row per group.
        rows: of each matrix.
        columns: of each matrix.
    """

    values: Tensor
    rows: int
    columns: int

    @classmethod
    def of(cls, matrix: Tensor, rank: int) -> "Spectrum":
        """The spectrum of matrices G x rows x columns that have no more than `rank`.

        A matrix of lower rank than its sides is described as the `rank` x columns matrix that it
        amounts to after a rotation.
        """
        wide = matrix if matrix.shape[1] <= matrix.shape[2] else matrix.mT
        values = torch.linalg.eigvalsh(wide @ wide.mT).flip(-1).clamp(min=0).sqrt()
        rank = min(rank, wide.shape[1])
        return cls(values[:, :rank], rank, wide.shape[2])

    def lost(self) -> list[float]:
        """The ratio of the energy that is lost at each rank from 0, of all groups."""
        energy = self.values.square().sum(0)
        left = energy.sum() - torch.cat([energy.new_zeros(1), energy.cumsum(0)])
        return (left.clamp(min=0) / energy.sum().clamp(min=1e-300)).tolist()


def leading(matrix: Tensor, rank: int) -> Tensor:
    """The `rank` leading left singular vectors of matrices G x rows x columns: G x rows x rank."""
    return torch.linalg.eigh(matrix @ matrix.mT).eigenvectors.flip(-1)[..., :rank]


def halves(matrix: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """The best product of two thin matrices for G x rows x columns, their sizes balanced.

    Returns:
        G x rows x rank and G x rank x columns; both carry the root of each singular value.
    """
    if matrix.shape[1] > matrix.shape[2]:
        left, right = halves(matrix.mT, rank)
        return right.mT, left.mT
    left = leading(matrix, rank)
    right = left.mT @ matrix
    roots = torch.linalg.vector_norm(right, dim=-1).sqrt()
    inverse = torch.where(roots > 0, 1 / roots, 0)
    return left * roots[:, None, :], right * inverse[..., None]
