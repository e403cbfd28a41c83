"""What the product of a factorisation looks like: one subclass for each kind of decomposition."""

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from compression.cost import Geometry
from compression.cost.geometry import Layer, factors_of, signature
from compression.factorization.kernels import kernel_of


class Decomposition:
    """The shape of a product and how its weights are found; without state.

    Kernels are G x O x I x kh x kw, one per group; ranks are of one group.
    """

    layers: ClassVar[tuple[type[nn.Module], ...]] = (nn.Conv2d,)  # that it looks at
    kinds: ClassVar[str] = "kxk convolutions"  # that it is for, in words
    fits_ranks: ClassVar[bool] = False  # whether it knows what outputs lose at a rank

    @staticmethod
    def unsupported_reason(geometry: Geometry) -> str | None:
        """Why such a layer is not for this form, as `1x1`; or None."""
        raise NotImplementedError

    @staticmethod
    def full_ranks(geometry: Geometry) -> list[int]:
        """The full rank of each unfolding."""
        raise NotImplementedError

    @staticmethod
    def unfoldings(kernel: Tensor) -> list[Tensor]:
        """The matrices, G x rows x columns, whose ranks are chosen."""
        raise NotImplementedError

    @classmethod
    def min_ranks(cls, geometry: Geometry, *, head: bool) -> list[int]:
        """The ranks below which no rule goes; a user may.

        Args:
            geometry: of the layer.
            head: whether it is the network's last layer, which gives the logits.
        """
        return [1] * len(cls.full_ranks(geometry))

    @staticmethod
    def useful(rank: Sequence[int], geometry: Geometry) -> list[int]:
        """`rank` without what could only hold zeros."""
        return list(rank)

    @staticmethod
    def rank_of(product: nn.Sequential) -> list[int]:
        """The rank of a product of the right length."""
        raise NotImplementedError

    @staticmethod
    def structure(geometry: Geometry, rank: Sequence[int]) -> nn.Sequential:
        """The product that replaces a layer, its weights not yet set."""
        raise NotImplementedError

    @staticmethod
    def factors(kernel: Tensor, rank: Sequence[int]) -> list[Tensor]:
        """The weights of the product's layers in order, but for a reshape."""
        raise NotImplementedError

    @classmethod
    def fitted_factors(
        cls, kernel: Tensor, rank: Sequence[int], covariance: Tensor, factors: Sequence[Tensor]
    ) -> list[Tensor]:
        """The same for the least error of the outputs.

        Args:
            kernel: of the layer.
            rank: of the product.
            covariance: of the windows that the layer is given, G x d x d, positive definite.
            factors: of the weights alone.
        """
        raise NotImplementedError

    @classmethod
    def output_spectra(cls, kernel: Tensor, covariance: Tensor) -> list[Tensor]:
        """Of each unfolding, the output energy of its directions as roots: G x n, largest first."""
        raise NotImplementedError

    @classmethod
    def output_errors(
        cls, kernel: Tensor, covariance: Tensor, ranks: Sequence[Sequence[int]]
    ) -> list[float]:
        """The ratio of the output energy that is lost at each of `ranks`."""
        raise NotImplementedError

    @classmethod
    def concerns(cls, module: nn.Module) -> bool:
        """Whether `module` is of the kinds that it looks at, or a product that it made."""
        return isinstance(module, cls.layers) or cls.is_product(module)

    @classmethod
    def is_product(cls, module: nn.Module) -> bool:
        """Whether `module` is what `structure` makes, of this run or an earlier one."""
        if type(module) is not nn.Sequential or not module:
            return False
        if any(type(layer) not in (nn.Conv2d, nn.Linear) for layer in module):
            return False
        if len({type(layer) for layer in module}) > 1:
            return False
        geometry = Geometry.of(module, device="meta")
        if cls.unsupported_reason(geometry) is not None:
            return False
        again = cls.structure(geometry, cls.rank_of(module))
        return signature(again) == signature(module)

    @classmethod
    def max_rank(cls, layer: Layer) -> list[int]:
        """The largest rank that `layer` can be given: of its full ranks, or the one that it has."""
        if isinstance(layer, nn.Sequential):
            return cls.rank_of(layer)
        return cls.full_ranks(Geometry.of(layer))


def convolution(product: nn.Sequential, place: int) -> nn.Conv2d:
    """The convolution at a place of a product.

    Raises:
        TypeError: there is another layer.
    """
    layer = product[place]
    if not isinstance(layer, nn.Conv2d):
        raise TypeError(f"A product of convolutions has {type(layer).__name__} at {place}.")
    return layer


def freeze_as(product: nn.Sequential, layer: Layer) -> None:
    """Let the weights of `product` be trained if that of `layer` is, and its bias likewise."""
    before = factors_of(layer)
    made_of = (named for factor in before for named in factor.named_parameters())
    weight = any(parameter.requires_grad for name, parameter in made_of if name != "bias")
    for factor in factors_of(product):
        factor.weight.requires_grad_(weight)
        if factor.bias is not None and before[-1].bias is not None:
            factor.bias.requires_grad_(before[-1].bias.requires_grad)


def fill(
    product: nn.Sequential, layer: Layer, decomposition: type[Decomposition], rank: Sequence[int]
) -> None:
    """Give `product`, made by `decomposition.structure`, the weights for what `layer` computes.

    Raises:
        TypeError: the product has no place for the bias of the layer.
    """
    weights = decomposition.factors(kernel_of(layer), rank)
    factors = factors_of(product)
    for new, weight in zip(factors, weights, strict=True):
        new.weight.copy_(weight.reshape(new.weight.shape))
    bias, last = factors_of(layer)[-1].bias, factors[-1]
    if bias is None:
        return
    if last.bias is None:
        raise TypeError("The product of a layer with a bias has none.")
    last.bias.copy_(bias)
