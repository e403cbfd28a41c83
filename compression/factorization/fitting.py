"""Products fitted to the outputs of their layers on training images."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from compression.context import Context
from compression.cost.geometry import Geometry, Layer, factors_of
from compression.factorization.candidate import Candidate
from compression.factorization.decomposition import Decomposition
from compression.factorization.kernels import kernel_of
from compression.factorization.output_mean import before_batchnorm
from compression.factorization.plan import LayerPlan
from compression.factorization.whitening import Whitening
from compression.latency import torch_threads
from compression.layer_moments import InputMoments

# A layer's matrices are too small to be shared out with profit, and on a busy machine threads that
# wait for each other made the SVDs of an EfficientNet twenty times slower.
DECOMPOSING = 1  # thread
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


@torch_threads(DECOMPOSING)
def fit_products(
    smaller: nn.Module,
    layers: Mapping[str, Layer],
    decomposition: type[Decomposition],
    chosen: Mapping[str, LayerPlan],
    moments: InputMoments,
) -> None:
    """Fit products to the outputs that their layers give in the whole network.

    Args:
        smaller: has products filled by the weights alone; changed in place.
        layers: that they stand for, by name; stay as they are.
        decomposition: of the products.
        chosen: of a plan, the products that are fitted to data.
        moments: of the layers' inputs.

    Raises:
        CompressionError: these are not finite.
    """
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
    kernel, alone = kernel_of(layer), factor_weights(product)
    fitted = decomposition.fitted_factors(kernel, rank, whitening.covariance, alone)
    before = whitening.error(kernel - kernel_of(product))
    set_weights(product, fitted)
    if whitening.error(kernel - kernel_of(product)) > before:
        # The shrunk covariance, or a search that ended early, has led astray.
        set_weights(product, alone)
    bias = factors_of(product)[-1].bias
    if bias is not None:
        bias += whitening.moments.output_mean(kernel - kernel_of(product)).to(bias)


def factor_weights(product: nn.Sequential) -> list[Tensor]:
    """Copies of the weights of a product's layers, in float64 on the CPU.

    Each is G x O x ..., as `Decomposition.factors` has them.
    """
    groups = Geometry.of(product).groups
    weights = (factor.weight.detach().to("cpu", torch.float64) for factor in factors_of(product))
    return [weight.reshape(groups, -1, *weight.shape[1:]).clone() for weight in weights]


def set_weights(product: nn.Sequential, weights: Sequence[Tensor]) -> None:
    """Fill the layers of a product with weights that may lack their shapes.

    Args:
        product: changed in place.
        weights: of its layers in order.
    """
    for factor, weight in zip(factors_of(product), weights, strict=True):
        factor.weight.copy_(weight.reshape(factor.weight.shape))
