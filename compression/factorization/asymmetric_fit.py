"""Products fitted to what they are given once the layers before them are products as well.

Asymmetric in that the outputs are those of the whole network and the inputs those of the smaller
one, so that a layer makes up for errors of those before it: Zhang et al. 2016, "Accelerating Very
Deep Convolutional Networks for Classification and Detection", section 3.3. It follows the images
that it saw more closely than any other, so a layer takes it only where other images agree.
"""

import copy
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from compression.cost.geometry import Geometry, Layer, factors_of
from compression.evaluation_mode import batch_statistics, evaluation_mode
from compression.factorization.asymmetric_regression import AsymmetricRegression
from compression.factorization.decomposition import Decomposition
from compression.factorization.fitting import DECOMPOSING, factor_weights, set_weights
from compression.factorization.kernels import kernel_of
from compression.factorization.plan import LayerPlan
from compression.latency import torch_threads
from compression.layer_moments import InputMoments, windows
from compression.sensitivity.loss_scan import LogitDivergence

FITTED, JUDGED, FEWEST = 256, 128, 16  # images
PIXELS = FITTED * 128 * 128  # of those that are fitted to: they go through the network together
BYTES = 2**28  # of outputs that are kept until their layers are reached
RIDGES = (1e-2, 1e-1)  # of the mean energy of the inputs


def fit_in_sequence(
    network: nn.Module,
    smaller: nn.Module,
    layers: Mapping[str, Layer],
    decomposition: type[Decomposition],
    chosen: Mapping[str, LayerPlan],
    moments: InputMoments,
) -> list[str]:
    """Fit products in the order of their calls, where other images come nearer by it.

    BatchNorm goes by the images while it lasts, as it is recalibrated afterwards. With fewer than
    16 images to judge by, or where they say that the logits got no nearer, nothing is done.

    Args:
        network: whose outputs are wanted; stays as it is.
        smaller: has products that were fitted to the inputs of `network`; changed in place.
        layers: of `network`, that the products stand for, by name.
        decomposition: of the products.
        chosen: of a plan, the products that are fitted to data.
        moments: of `network`; has the images.

    Returns:
        The names of those products that were fitted.
    """
    found: list[str] = []
    images = _images(moments)
    if images is None or len(chosen) < 2:  # the first product is given what its layer was
        return found
    divergence = LogitDivergence(network, [images[1]])
    before = divergence(smaller)
    states = {name: copy.deepcopy(smaller.get_submodule(name).state_dict()) for name in chosen}
    together = torch.cat(images)
    outputs = _Outputs(network, {name: layers[name] for name in chosen}, together)

    def fit(name: str, product: nn.Sequential, given: Tensor) -> None:
        plan, layer = chosen[name], layers[name]
        seen = windows(given, Geometry.of(layer), _places(name))
        outcomes = outputs.pop(name)
        first = seen.shape[1] * len(images[0]) // len(together)
        centered = plan["whitened"]["centered"]
        fitted, judged = (
            AsymmetricRegression(seen[:, part], outcomes[:, part], centered=centered)
            for part in (slice(None, first), slice(first, None))
        )
        if improve(product, layer, decomposition, plan["rank"], fitted, judged):
            found.append(name)

    with torch.no_grad(), batch_statistics(smaller), _at_first_call(smaller, chosen, fit):
        smaller(together)
    after = divergence(smaller)
    if before is not None and (after is None or after >= before):
        for name, state in states.items():
            smaller.get_submodule(name).load_state_dict(state)
        return []
    return found


@torch_threads(DECOMPOSING)
def improve(
    product: nn.Sequential,
    layer: Layer,
    decomposition: type[Decomposition],
    rank: Sequence[int],
    fitted: AsymmetricRegression,
    judged: AsymmetricRegression,
) -> bool:
    """Give `product` the weights that leave the least error on images that they weren't fitted to.

    Args:
        product: fitted to the inputs of `layer`; changed in place, its bias in any case.
        layer: that it stands for; stays as it is.
        decomposition: of the product.
        rank: of the product.
        fitted: on the images that weights are fitted to.
        judged: on others.

    Returns:
        Whether other weights than those that were there leave the least.
    """
    kernel, start = kernel_of(layer), factor_weights(product)
    best, least = start, judged.error(kernel_of(product))
    for ridge in RIDGES:
        wanted, covariance = fitted.towards(kernel, ridge)
        set_weights(product, decomposition.fitted_factors(wanted, rank, covariance, start))
        error = judged.error(kernel_of(product))
        if error < least:
            best, least = factor_weights(product), error
    set_weights(product, best)
    before, bias = factors_of(layer)[-1].bias, factors_of(product)[-1].bias
    if before is not None and bias is not None:
        bias.copy_(before.cpu().double() + fitted.shift(kernel_of(product)))
    return best is not start


class _Outputs:
    """What the layers of the whole network give, kept for as many of them as memory allows."""

    def __init__(self, network: nn.Module, layers: Mapping[str, Layer], images: Tensor) -> None:
        self.network, self.images = network, images
        self._left, self._kept = dict(layers), dict[str, Tensor]()

    def pop(self, name: str) -> Tensor:
        """Of a layer, without its bias, once: G x R x O in float32."""
        if name not in self._kept:
            self._collect(name)
        return self._kept.pop(name)

    def _collect(self, first: str) -> None:
        """Of a layer and of those that are called after it."""
        size = 0

        def keep(name: str, layer: nn.Module, given: Tensor) -> None:
            nonlocal size
            if size > BYTES or (name != first and not self._kept):
                return
            own = self._left.pop(name)
            kernel = kernel_of(own).flatten(2).to(given.device, torch.float32)
            self._kept[name] = windows(given, Geometry.of(own), _places(name)) @ kernel.mT
            size += self._kept[name].nbytes

        with evaluation_mode(self.network), _at_first_call(self.network, self._left, keep):
            self.network(self.images)


def _images(moments: InputMoments) -> tuple[Tensor, Tensor] | None:
    """Those to fit to, N x C x H x W, and those to judge by, if there are enough."""
    if moments.held_out is None:
        return None
    first = next(iter(moments.images()))
    count = min(FITTED, max(FEWEST, PIXELS // (first.shape[-1] * first.shape[-2])))
    fitted = _first(moments.images(), count)
    return fitted, _first(moments.held_out.images(), count * JUDGED // FITTED)


def _first(batches: Iterator[Tensor], count: int) -> Tensor:
    taken: list[Tensor] = []
    for batch in batches:
        taken.append(batch[: count - sum(map(len, taken))])
        if sum(map(len, taken)) == count:
            break
    return torch.cat(taken)


def _places(name: str) -> torch.Generator:
    """Draws the same places of a layer's input in both networks."""
    return torch.Generator().manual_seed(zlib.crc32(name.encode()))


@contextmanager
def _at_first_call(
    network: nn.Module, names: Iterable[str], act: Callable[[str, Any, Tensor], None]
) -> Iterator[None]:
    """Call `act` with a module and its input as soon as it is given one, once for each name."""
    waiting = set(names)

    def called(name: str, module: nn.Module, inputs: tuple[Any, ...], named: Any) -> None:
        if name in waiting:
            waiting.remove(name)
            act(name, module, (*inputs, *named.values())[0].detach())

    hooks = [
        network.get_submodule(name).register_forward_pre_hook(
            partial(called, name), with_kwargs=True
        )
        for name in names
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
