"""CP factorisation of kxk convolutions.

Lebedev et al. 2015, "Speeding-up Convolutional Neural Networks Using Fine-tuned CP-Decomposition",
section 3: 1x1 to R channels, a column and a row in each of them, 1x1 to the outputs.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from compression.cost import Geometry
from compression.cost.geometry import HEIGHT, WIDTH
from compression.factorization.decomposition import Decomposition, convolution
from compression.factorization.factorization import Factorization
from compression.factorization.kernels import leading
from compression.factorization.settings import CPSettings

ITERATIONS = 60  # of the alternating least squares at most
ENOUGH = 1e-3  # an iteration that takes off less than this ratio of the error is the last
RIDGE = 1e-10  # added to the least squares, for a kernel of norm 1: terms may be alike


class CPDecomposition(Decomposition):
    """A sum of R outer products of a channel in, a column, a row and a channel out; rank [R].

    The rank of a tensor is no less than that of any of its unfoldings, so R is chosen on the one
    that can have the largest, O kh x I kw.
    """

    @staticmethod
    def unsupported_reason(geometry: Geometry) -> str | None:
        """1x1 kernels have no column and row to part."""
        return "1x1" if geometry.kernel == (1, 1) else None

    @staticmethod
    def full_ranks(geometry: Geometry) -> list[int]:
        """[min(O kh, I kw)], the most that its one unfolding can have."""
        height, width = geometry.kernel
        return [min(geometry.group_outputs * height, geometry.group_inputs * width)]

    @staticmethod
    def unfoldings(kernel: Tensor) -> list[Tensor]:
        """One: G x O kh x I kw."""
        return [kernel.transpose(2, 3).flatten(3).flatten(1, 2)]

    @staticmethod
    def rank_of(product: nn.Sequential) -> list[int]:
        """[R]: the channels between the factors, of one group."""
        first = convolution(product, 0)
        return [first.out_channels // first.groups]

    @staticmethod
    def structure(geometry: Geometry, rank: Sequence[int]) -> nn.Sequential:
        """1x1 to R channels, kh x 1 and 1 x kw in each of them, 1x1 to the outputs."""
        width = geometry.groups * rank[0]
        return nn.Sequential(
            geometry.factor(geometry.inputs, width),
            geometry.factor(width, width, over=(HEIGHT,), groups=width),
            geometry.factor(width, width, over=(WIDTH,), groups=width),
            geometry.factor(width, geometry.outputs, last=True),
        )

    @staticmethod
    def factors(kernel: Tensor, rank: Sequence[int]) -> list[Tensor]:
        """The terms: inputs G x R x I, columns G x R x kh, rows G x R x kw, outputs G x O x R."""
        terms = [cp(one, rank[0]) for one in kernel]
        outputs, inputs, columns, rows = (
            torch.stack(factor) for factor in zip(*terms, strict=True)
        )
        return [inputs.mT, columns.mT, rows.mT, outputs]

    @classmethod
    def fitted_factors(
        cls, kernel: Tensor, rank: Sequence[int], covariance: Tensor, factors: Sequence[Tensor]
    ) -> list[Tensor]:
        """The terms, whose outputs alone are fitted to the inputs, by least squares."""
        inputs, columns, rows, outputs = (factor.flatten(2) for factor in factors)
        terms = torch.einsum("gri,grh,grw->grihw", inputs, columns, rows).flatten(2)
        error = kernel.flatten(2) - outputs @ terms
        inner = terms @ covariance @ terms.mT
        size = inner.diagonal(dim1=1, dim2=2).mean(1)
        size = torch.where(size > 0, size, torch.ones_like(size))
        inner += RIDGE * size[:, None, None] * torch.eye(rank[0], dtype=inner.dtype)
        change = torch.linalg.solve(inner, terms @ covariance @ error.mT).mT
        return [*factors[:-1], outputs + change]


class CP(CPSettings, Factorization):
    """Factorise kxk convolutions by CP; see `Factorization` for the settings."""

    decomposition = CPDecomposition


def cp(kernel: Tensor, rank: int) -> list[Tensor]:
    """Alternating least squares, started from the leading singular vectors of each mode.

    With a term for each cell of the three shorter modes nothing is to be sought: that is exact.

    Args:
        kernel: O x I x kh x kw, float64 on the CPU.
        rank: the number of terms R.

    Returns:
        O x R, I x R, kh x R and kw x R; each term's size is spread evenly over the four.
    """
    norm = torch.linalg.vector_norm(kernel)
    if not norm:
        return [torch.zeros(side, rank, dtype=kernel.dtype) for side in kernel.shape]
    exact = rank >= kernel.numel() // max(kernel.shape)
    factors = (_exact if exact else _least_squares)(kernel / norm, rank)
    sizes = torch.stack([torch.linalg.vector_norm(factor, dim=0) for factor in factors])
    size = (sizes.prod(0) * norm) ** 0.25
    return [f * size / s.clamp(min=1e-300) for f, s in zip(factors, sizes, strict=True)]


def _exact(kernel: Tensor, rank: int) -> list[Tensor]:
    """A term for each cell of all modes but the longest, and empty ones beyond."""
    longest = max(range(4), key=kernel.shape.__getitem__)
    sides = [1 if mode == longest else side for mode, side in enumerate(kernel.shape)]
    cells = torch.cartesian_prod(*map(torch.arange, sides))
    factors = [
        nn.functional.one_hot(cell, side).mT.to(kernel.dtype)
        for cell, side in zip(cells.unbind(1), sides, strict=True)
    ]
    factors[longest] = kernel.movedim(longest, 0).flatten(1)
    return [nn.functional.pad(factor, (0, rank - len(cells))) for factor in factors]


def _least_squares(kernel: Tensor, rank: int) -> list[Tensor]:
    """The factors of a kernel of norm 1.

    Tensorly's parafac finds the same, but goes through the kernel once for each term: it took ten
    times as long for 128 x 128 x 3 x 3 and 271 terms.
    """
    factors = [_start(kernel, mode, rank) for mode in range(4)]
    ridge, before = RIDGE * torch.eye(rank, dtype=kernel.dtype), math.inf
    for _ in range(ITERATIONS):
        for mode in range(4):
            gram = _gram([factor for m, factor in enumerate(factors) if m != mode])
            target = _against(kernel, factors, mode)
            factors[mode] = torch.linalg.solve(gram + ridge, target, left=False)
        # Of the last mode: |kernel - sum|^2 without the sum itself.
        inner, square = (target * factors[-1]).sum(), (gram * _gram(factors[-1:])).sum()
        error = (1 - 2 * inner + square).clamp(min=0).sqrt().item()
        if error > (1 - ENOUGH) * before:
            break
        before = error
    return factors


def _against(kernel: Tensor, factors: Sequence[Tensor], mode: int) -> Tensor:
    """Side x R: sums of the kernel times the terms of the other modes.

    The longest of them is summed over first, in one matrix product; what is left is small.
    """
    others = sorted({0, 1, 2, 3} - {mode}, key=kernel.shape.__getitem__, reverse=True)
    sums, left = kernel, list(range(4))
    for other in others:
        terms = [*left, 4] if sums.dim() > len(left) else left
        left = [m for m in left if m != other]
        sums = torch.einsum(sums, terms, factors[other], [other, 4], [*left, 4])
    return sums


def _gram(factors: Sequence[Tensor]) -> Tensor:
    """R x R: the inner products of the terms that these factors make."""
    return torch.stack([factor.mT @ factor for factor in factors]).prod(0)


def _start(kernel: Tensor, mode: int, rank: int) -> Tensor:
    """Singular vectors of a mode, and random ones where it has fewer than `rank`."""
    unfolded = kernel.movedim(mode, 0).flatten(1)[None]
    vectors = leading(unfolded, rank)[0]
    random = torch.Generator().manual_seed(mode)
    more = torch.randn(len(vectors), rank - vectors.shape[1], generator=random, dtype=kernel.dtype)
    return torch.cat([vectors, more / len(vectors) ** 0.5], dim=1)
