"""Products fitted to the outputs of their layers on training images."""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from compression.cost.geometry import Layer, factors_of
from compression.factorization.candidate import Candidate
from compression.factorization.decomposition import Decomposition
from compression.factorization.kernels import kernel_of
from compression.factorization.output_mean import before_batchnorm
from compression.factorization.plan import FactorizationPlan
from compression.factorization.whitening import Whitening
from compression.layer_moments import InputMoments
from compression.step import Context

MOST_INPUTS = 5000  # in a window: the covariance of more takes too much memory and time


def see_inputs(candidates: Sequence[Candidate], network: nn.Module, context: Context) -> None:
    """Give the candidates their `whitening`, but for those with too many inputs.

    Args:
        candidates: of the network.
        network: stays as it is.
        context: has `moments`.

    Raises:
        CompressionError: there is no image, or a layer's inputs are not finite.
    """
    assert context.moments is not None
    layers = {c.name: c for c in candidates if c.window <= MOST_INPUTS}
    moments = context.moments.of(layers)
    norms = before_batchnorm(network, context.image_size, list(moments))
    for name, own in moments.items():
        centered = layers[name].geometry.bias or name in norms
        layers[name].whitening = Whitening(own, centered=centered)


def fit_products(
    smaller: nn.Module,
    layers: Mapping[str, Layer],
    decomposition: type[Decomposition],
    plan: FactorizationPlan,
    moments: InputMoments,
) -> None:
    """Fit those products that a plan says are fitted.

    Args:
        smaller: has products filled by the weights alone; changed in place.
        layers: that they stand for, by name; stay as they are.
        decomposition: of the products.
        plan: that they were made by.
        moments: of the layers' inputs.

    Raises:
        CompressionError: these are not finite.
    """
    chosen = {name: own for name, own in plan["layers"].items() if "whitened" in own}
    for name, own in moments.of(chosen).items():
        product, choice = smaller.get_submodule(name), chosen[name]
        assert isinstance(product, nn.Sequential)
        whitening = Whitening(own, centered=choice["whitened"]["centered"])
        fit(product, layers[name], decomposition, choice["rank"], whitening)


def fit(
    product: nn.Sequential,
    layer: Layer,
    decomposition: type[Decomposition],
    rank: Sequence[int],
    whitening: Whitening,
) -> None:
    """Give `product`, filled by the weights alone, those with the least error of its outputs.

    A bias takes up what is left of a shift of their mean.

    Args:
        product: made by `decomposition.structure`.
        layer: that it stands for; stays as it is.
        decomposition: of the product.
        rank: of the product.
        whitening: of the layer's inputs.
    """
    kernel, factors = kernel_of(layer), factors_of(product)
    alone = [
        factor.weight.detach()
        .to("cpu", kernel.dtype)
        .reshape(len(kernel), -1, *factor.weight.shape[1:])
        for factor in factors
    ]
    fitted = decomposition.fitted_factors(kernel, rank, whitening.covariance, alone)
    before = whitening.error(kernel - kernel_of(product))
    _set_weights(product, fitted)
    if whitening.error(kernel - kernel_of(product)) > before:
        # The shrunk covariance, or a search that ended early, has led astray.
        _set_weights(product, alone)
    bias = factors[-1].bias
    if bias is not None:
        bias += whitening.moments.output_mean(kernel - kernel_of(product)).to(bias)


def _set_weights(product: nn.Sequential, weights: Sequence[Tensor]) -> None:
    for factor, weight in zip(factors_of(product), weights, strict=True):
        factor.weight.copy_(weight.reshape(factor.weight.shape))
