"""Tucker-2 factorisation of kxk convolutions.

Kim et al. 2016, "Compression of Deep Convolutional Neural Networks for Fast and Low Power Mobile
Applications", section 3: a C_out x C_in x k x k kernel becomes a 1x1, a smaller kxk and a 1x1.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from compression.cost import Geometry
from compression.cost.geometry import HEIGHT, WIDTH
from compression.factorization.decomposition import convolution
from compression.factorization.factorization import Factorization
from compression.factorization.input_features import InputFeatures
from compression.factorization.kernels import leading
from compression.factorization.output_fit import OutputRegression
from compression.factorization.settings import TuckerSettings

SWEEPS = 6  # of the iteration at most: later ones gain next to nothing on trained kernels
COLORS = 3  # channels of an image, which are left apart
ENOUGH = 1e-4  # a sweep that gains less than this ratio of the squared norm is the last


class TuckerDecomposition(InputFeatures):
    """1x1 down to few channels, the kxk kernel between them, 1x1 back up; rank [out, in]."""

    @staticmethod
    def unsupported_reason(geometry: Geometry) -> str | None:
        """1x1 kernels are matrices: `SVD` is for them."""
        return "1x1" if geometry.kernel == (1, 1) else None

    @staticmethod
    def full_ranks(geometry: Geometry) -> list[int]:
        """[O, I] of one group."""
        return [geometry.group_outputs, geometry.group_inputs]

    @staticmethod
    def unfoldings(kernel: Tensor) -> list[Tensor]:
        """Two: by outputs, G x O x I k k, and by inputs, G x I x O k k."""
        return [kernel.flatten(2), kernel.transpose(1, 2).flatten(2)]

    @classmethod
    def min_ranks(cls, geometry: Geometry, *, head: bool) -> list[int]:
        """[1, 1], but all inputs of the layer that sees the image."""
        # The layer that sees the image would mix its colours into one for all that follow: that
        # saves little, and at rank 1 cost a ResNet 0.18 of macro-F1.
        _, inner = cls.full_ranks(geometry)
        return [1, inner if geometry.inputs <= COLORS else 1]

    @staticmethod
    def useful(rank: Sequence[int], geometry: Geometry) -> list[int]:
        """Each mode cut to what the other one, times the window, can fill."""
        # A mode's rank never exceeds the other's times the window.
        outer, inner = rank
        window = geometry.kernel[HEIGHT] * geometry.kernel[WIDTH]
        return [min(outer, inner * window), min(inner, outer * window)]

    @staticmethod
    def rank_of(product: nn.Sequential) -> list[int]:
        """[out, in]: the channels on both sides of the core, of one group."""
        first, last = convolution(product, 0), convolution(product, -1)
        return [last.in_channels // first.groups, first.out_channels // first.groups]

    @staticmethod
    def structure(geometry: Geometry, rank: Sequence[int]) -> nn.Sequential:
        """1x1 to `in` channels, the window from there to `out`, 1x1 to the outputs."""
        outer, inner = (geometry.groups * r for r in rank)
        return nn.Sequential(
            geometry.factor(geometry.inputs, inner),
            geometry.factor(inner, outer, over=(HEIGHT, WIDTH)),
            geometry.factor(outer, geometry.outputs, last=True),
        )

    @staticmethod
    def factors(kernel: Tensor, rank: Sequence[int]) -> list[Tensor]:
        """G x in x I, the core G x out x in x kh x kw, and G x O x out."""
        core, outer, inner = tucker2(kernel, rank)
        return [inner.mT, core, outer]

    @staticmethod
    def split_kernel(kernel: Tensor) -> Tensor:
        """G x O x I x kh kw."""
        return kernel.flatten(3)

    @staticmethod
    def weights(basis: Tensor, regression: OutputRegression, rank: Sequence[int]) -> list[Tensor]:
        """As those of the weights alone, but for a reshape of the core."""
        explained = regression.explained(rank[1])
        outer = torch.linalg.eigh(explained).eigenvectors.flip(-1)[..., : rank[0]]
        core = outer.mT @ regression.kernel().flatten(2)
        return [basis, core, outer]


class Tucker(TuckerSettings, Factorization):
    """Factorise kxk convolutions by Tucker-2; see `Factorization` for the settings.

    The layer that sees the image keeps its three colours apart, unless its ranks are named.
    """

    decomposition = TuckerDecomposition


def tucker2(kernel: Tensor, rank: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Higher-order orthogonal iteration over the two channel modes of kernels.

    De Lathauwer et al. 2000, "On the best rank-1 and rank-(R1, ..., RN) approximation of
    higher-order tensors", with eigenvectors of Gram matrices for singular vectors.

    Args:
        kernel: G x O x I x kh x kw.
        rank: (r_out, r_in), at most (O, I).

    Returns:
        core G x r_out x r_in x kh x kw, outer factor G x O x r_out and inner factor
        G x I x r_in; the factors have orthonormal columns.
    """
    inner = leading(kernel.transpose(1, 2).flatten(2), rank[1])
    kept = torch.zeros(())
    for _ in range(SWEEPS):
        narrow = torch.einsum("goihw,gis->goshw", kernel, inner)
        outer = leading(narrow.flatten(2), rank[0])
        short = torch.einsum("goihw,gor->grihw", kernel, outer)
        inner = leading(short.transpose(1, 2).flatten(2), rank[1])
        core = torch.einsum("grihw,gis->grshw", short, inner)
        before, kept = kept, core.square().sum()
        if kept - before <= ENOUGH * kept:
            break
    return core, outer, inner
