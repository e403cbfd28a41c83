"""Spatial SVD: a kh x kw convolution as a column and a row, depthwise ones included.

Jaderberg et al. 2014, "Speeding up Convolutional Neural Networks with Low Rank Expansions", scheme
2; solved in closed form by Tai et al. 2016, "Convolutional Neural Networks with Low-rank
Regularization", section 3.1.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from compression.cost import Geometry
from compression.cost.geometry import HEIGHT, WIDTH
from compression.factorization.decomposition import convolution
from compression.factorization.factorization import Factorization
from compression.factorization.input_features import InputFeatures
from compression.factorization.kernels import halves
from compression.factorization.output_fit import OutputRegression
from compression.factorization.settings import SpatialSVDSettings


class SpatialSVDDecomposition(InputFeatures):
    """A kh x 1 convolution to few channels, then a 1 x kw one; rank [r]."""

    @staticmethod
    def unsupported_reason(geometry: Geometry) -> str | None:
        """A kernel that is a row or a column already cannot be parted."""
        return (
            f"{geometry.kernel[HEIGHT]}x{geometry.kernel[WIDTH]}" if 1 in geometry.kernel else None
        )

    @staticmethod
    def full_ranks(geometry: Geometry) -> list[int]:
        """[min(I kh, O kw)], the most that its one unfolding can have."""
        height, width = geometry.kernel
        return [min(geometry.group_inputs * height, geometry.group_outputs * width)]

    @staticmethod
    def unfoldings(kernel: Tensor) -> list[Tensor]:
        """One: G x I kh x O kw."""
        return [kernel.permute(0, 2, 3, 1, 4).flatten(3).flatten(1, 2)]  # G x I kh x O kw

    @staticmethod
    def rank_of(product: nn.Sequential) -> list[int]:
        """[r]: the channels between the two factors, of one group."""
        first = convolution(product, 0)
        return [first.out_channels // first.groups]

    @staticmethod
    def structure(geometry: Geometry, rank: Sequence[int]) -> nn.Sequential:
        """A column kh x 1 with the vertical stride, then a row 1 x kw with the horizontal one."""
        width = geometry.groups * rank[0]
        return nn.Sequential(
            geometry.factor(geometry.inputs, width, over=(HEIGHT,)),
            geometry.factor(width, geometry.outputs, over=(WIDTH,), last=True),
        )

    @staticmethod
    def factors(kernel: Tensor, rank: Sequence[int]) -> list[Tensor]:
        """Columns G x r x I x kh x 1 and rows G x O x r x 1 x kw."""
        groups, outputs, inputs, height, width = kernel.shape
        column, row = halves(SpatialSVDDecomposition.unfoldings(kernel)[0], rank[0])
        return [
            column.mT.reshape(groups, rank[0], inputs, height, 1),
            row.reshape(groups, rank[0], outputs, 1, width).transpose(1, 2),
        ]

    @staticmethod
    def split_kernel(kernel: Tensor) -> Tensor:
        """G x O x I kh x kw."""
        return kernel.flatten(2, 3)

    @staticmethod
    def weights(basis: Tensor, regression: OutputRegression, rank: Sequence[int]) -> list[Tensor]:
        """As those of the weights alone, but for a reshape of the columns."""
        rows = regression.kernel()  # G x O x r x kw
        groups, outputs, _, width = rows.shape
        middle, row = halves(rows.transpose(1, 2).flatten(2), rank[0])
        return [middle.mT @ basis, row.reshape(groups, rank[0], outputs, 1, width).transpose(1, 2)]


class SpatialSVD(SpatialSVDSettings, Factorization):
    """Factorise kxk convolutions into columns and rows; see `Factorization` for the settings.

    Grouped convolutions are split by default: a depthwise 5x5 becomes depthwise 5x1 and 1x5.
    """

    scan_ratios = (0.125, 0.25, 0.375)  # a square layer is cheaper below half of its rank only
    decomposition = SpatialSVDDecomposition
