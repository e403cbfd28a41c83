"""Singular value decomposition of Linear layers and 1x1 convolutions: two thin layers for one.

Denton et al. 2014, "Exploiting Linear Structure Within Convolutional Networks for Efficient
Evaluation", section 3.2 (there for matrices in general).
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
from compression.factorization.settings import SVDSettings

CLASSES = 32  # the smallest rank of a head; one of so many classes or fewer is left alone


class SVDDecomposition(InputFeatures):
    """Down to few channels or features and back up; rank [r]."""

    layers = (nn.Conv2d, nn.Linear)
    kinds = "Linear layers and 1x1 convolutions"

    @staticmethod
    def unsupported_reason(geometry: Geometry) -> str | None:
        """Only 1x1 kernels and Linear layers are matrices."""
        return None if geometry.kernel == (1, 1) else "kxk"

    @staticmethod
    def full_ranks(geometry: Geometry) -> list[int]:
        """[min(I, O)] of one group."""
        return [min(geometry.group_inputs, geometry.group_outputs)]

    @classmethod
    def min_ranks(cls, geometry: Geometry, *, head: bool) -> list[int]:
        """[32] of a head, else [1]."""
        # Rank 3 for the logits of six classes saved 0.001 % of a ResNet's MACs and cost 0.04 of F1.
        return [CLASSES if head else 1]

    @staticmethod
    def unfoldings(kernel: Tensor) -> list[Tensor]:
        """One: the matrix itself, G x O x I."""
        return [kernel.flatten(2)]

    @staticmethod
    def rank_of(product: nn.Sequential) -> list[int]:
        """[r]: the channels or features between the two factors, of one group."""
        first = product[0]
        if isinstance(first, nn.Linear):
            return [first.out_features]
        conv = convolution(product, 0)
        return [conv.out_channels // conv.groups]

    @staticmethod
    def structure(geometry: Geometry, rank: Sequence[int]) -> nn.Sequential:
        """Down to r channels with the stride of the layer, then up to its outputs."""
        width = geometry.groups * rank[0]
        # The stride comes first: the second layer then has fewer places to visit.
        return nn.Sequential(
            geometry.factor(geometry.inputs, width, over=(HEIGHT, WIDTH)),
            geometry.factor(width, geometry.outputs, last=True),
        )

    @staticmethod
    def factors(kernel: Tensor, rank: Sequence[int]) -> list[Tensor]:
        """G x r x I and G x O x r, which carry the root of each singular value."""
        up, down = halves(kernel.flatten(2), rank[0])
        return [down, up]

    @staticmethod
    def split_kernel(kernel: Tensor) -> Tensor:
        """G x O x I x 1."""
        return kernel.flatten(3)

    @staticmethod
    def weights(basis: Tensor, regression: OutputRegression, rank: Sequence[int]) -> list[Tensor]:
        """G x r x I and G x O x r, balanced as those of the weights alone."""
        up, middle = halves(regression.kernel().flatten(2), rank[0])
        return [middle @ basis, up]


class SVD(SVDSettings, Factorization):
    """Factorise Linear layers and 1x1 convolutions; see `Factorization` for the settings.

    The head keeps a rank of 32 at least (with so few classes it is left alone), unless it is named.
    """

    scan_ratios = (0.125, 0.25, 0.375)  # a square layer is cheaper below half of its rank only
    decomposition = SVDDecomposition
