"""First and second moments of what layers are given: all that the data says of a linear layer.

The squared error of a layer's outputs, with other weights, follows from them: Zhang et al. 2016,
"Accelerating Very Deep Convolutional Networks for Classification and Detection", section 3; Wang et
al. 2025, "SVD-LLM", section 3.
"""

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn import functional

from compression.cost.geometry import HEIGHT, WIDTH, Geometry, Layer
from compression.errors import CompressionError
from compression.evaluation_mode import evaluation_mode

IMAGES = 256
HELD_OUT = 128  # images that are kept to judge by
FEWEST = 16  # of them
POINTS = 196  # positions of an image that a 1x1 kernel is looked at in, at most
WINDOWS = 16  # the same of a larger kernel, whose windows have much in common


@dataclass(frozen=True, kw_only=True)
class LayerMoments:
    """Of the windows that a layer's kernel sees: d = I kh kw numbers of each of G groups.

    Attributes:
        mean: G x d.
        covariance: G x d x d, of the centered windows.
        positions: windows that were looked at.
    """

    mean: Tensor
    covariance: Tensor
    positions: int

    def output_energy(self, kernel: Tensor) -> float:
        """Variance of the outputs of a kernel, summed over its outputs.

        Of the difference of two kernels it is the squared error that a bias can't mend.

        Args:
            kernel: G x O x I x kh x kw, in any float type.
        """
        weights = kernel.flatten(2).double()
        return float(((weights @ self.covariance.double()) * weights).sum())

    def output_mean(self, kernel: Tensor) -> Tensor:
        """Mean of the outputs of a kernel G x O x I x kh x kw, without a bias: G O."""
        return (kernel.flatten(2).double() @ self.mean.double()[..., None]).flatten()


class InputMoments:
    """The moments of the inputs of a network's layers, each collected when it is first asked for.

    Args:
        network: stays as it is, and is to be left as it is while this is used.
        batches: of images as the network takes them; the first of them are looked at.
        images: how many.
        seed: of the positions.

    Attributes:
        seen: images that were looked at.
    """

    def __init__(
        self,
        network: nn.Module,
        batches: Callable[[], Iterable[Sequence[Tensor]]],
        *,
        images: int = IMAGES,
        seed: int = 0,
    ) -> None:
        self.network, self.seed, self.most, self.seen = network, seed, images, 0
        self._batches = batches
        self._known: dict[str, LayerMoments | None] = {}

    @cached_property
    def held_out(self) -> "InputMoments | None":
        """The same of the images after these, to judge what was fitted; None: they are too few."""
        after = InputMoments(self.network, self._after, images=HELD_OUT, seed=self.seed)
        images = sum(len(batch[0]) for batch in self._after())
        return after if images >= FEWEST else None

    def _after(self) -> Iterator[Sequence[Tensor]]:
        passed = 0
        for batch in self._batches():
            passed, before = passed + len(batch[0]), passed
            if passed > self.most:
                yield [batch[0][max(0, self.most - before) :]]
            if passed >= self.most + HELD_OUT:
                return

    def of(self, layers: Iterable[str]) -> dict[str, LayerMoments]:
        """The moments by name of a convolution, Linear or product of them; what is new in one pass.

        Layers that the network does not call are left out.

        Raises:
            CompressionError: there is no image, or a layer's inputs are not finite.
        """
        layers = list(layers)
        new = [name for name in dict.fromkeys(layers) if name not in self._known]
        if new:
            self._known |= self._collected(new)
        return {name: m for name in layers if (m := self._known[name]) is not None}

    def images(self) -> Iterator[Tensor]:
        """The images that the moments are of, batch by batch, on the device of the network.

        Raises:
            CompressionError: there is none.
        """
        left, device = self.most, next(self.network.parameters()).device
        for batch in self._batches():
            images = batch[0][:left].to(device)
            left -= len(images)
            yield images
            if left <= 0:
                return
        if left == self.most:
            raise CompressionError("There is no batch of images to see what layers are given.")

    def _collected(self, names: list[str]) -> dict[str, LayerMoments | None]:
        sums = {name: _Sums(self.network.get_submodule(name), name, self.seed) for name in names}
        hooks = [
            self.network.get_submodule(name).register_forward_pre_hook(own.add, with_kwargs=True)
            for name, own in sums.items()
        ]
        self.seen = 0
        try:
            with evaluation_mode(self.network), torch.no_grad():
                for images in self.images():
                    self.seen += len(images)
                    self.network(images)
        finally:
            for hook in hooks:
                hook.remove()
        return {name: own.moments() for name, own in sums.items()}


class _Sums:
    """What is kept of the windows of one layer while images come."""

    def __init__(self, layer: nn.Module, name: str, seed: int) -> None:
        assert isinstance(layer, Layer)
        self.geometry, self.name, self.count = Geometry.of(layer), name, 0
        # Of its own, so that a layer's windows are the same whichever others are looked at.
        self.generator = torch.Generator().manual_seed(zlib.crc32(f"{seed} {name}".encode()))
        self.mean, self.scatter = torch.zeros(()), torch.zeros(())

    def add(self, _: nn.Module, inputs: tuple[Tensor, ...], named: dict[str, Tensor]) -> None:
        """A hook: takes in one batch, by the way of Chan et al. 1979, which loses no digits."""
        given = (*inputs, *named.values())[0]  # the only argument of these layers
        rows = windows(given.detach(), self.geometry, self.generator)  # G x R x d
        count, mean = rows.shape[1], rows.mean(1)
        rows = rows - mean[:, None]
        scatter = (rows.mT @ rows).cpu()
        mean = mean.double().cpu()
        if not self.count:
            self.mean, self.scatter = torch.zeros_like(mean), torch.zeros_like(scatter)
        shift, total = mean - self.mean, self.count + count
        self.mean += shift * (count / total)
        between = (shift * (self.count * count / total) ** 0.5).to(scatter.dtype)
        self.scatter += scatter
        self.scatter.baddbmm_(between[:, :, None], between[:, None, :])
        self.count = total

    def moments(self) -> LayerMoments | None:
        if not self.count:
            return None
        if not (self.mean.isfinite().all() and self.scatter.isfinite().all()):
            raise CompressionError(
                f"The inputs of {self.name} are not all finite numbers on these images: the "
                "network's weights or the images are damaged; train it anew, or leave the layer "
                "out by exclude."
            )
        self.scatter /= self.count
        return LayerMoments(mean=self.mean, covariance=self.scatter, positions=self.count)


def windows(inputs: Tensor, geometry: Geometry, generator: torch.Generator) -> Tensor:
    """What the kernel of a layer sees, in some places of its input.

    Args:
        inputs: N x C x H x W, or N x ... x features of a Linear.
        geometry: of the layer.
        generator: draws the places, the same ones in all images of the batch.

    Returns:
        G x R x d in float32: R = N times the places, d = I kh kw.
    """
    if geometry.linear:
        tokens = inputs.reshape(len(inputs), -1, geometry.inputs)
        seen = tokens[:, _chosen(tokens.shape[1], POINTS, generator)]
        return seen.reshape(1, -1, geometry.inputs).float()
    padded = _padded(inputs.float(), geometry)
    spans = [
        dilation * (kernel - 1)
        for dilation, kernel in zip(geometry.dilation, geometry.kernel, strict=True)
    ]
    high, wide = (
        (side - span - 1) // stride + 1
        for side, span, stride in zip(padded.shape[2:], spans, geometry.stride, strict=True)
    )
    most = POINTS if geometry.kernel == (1, 1) else WINDOWS
    places = _chosen(high * wide, most, generator)
    rows = _axis(places // wide, geometry, HEIGHT)
    columns = _axis(places % wide, geometry, WIDTH)
    seen = padded[:, :, rows[:, :, None], columns[:, None, :]]  # N x C x places x kh x kw
    seen = seen.transpose(1, 2).reshape(seen.shape[0] * len(places), geometry.groups, -1)
    return seen.transpose(0, 1)


def _chosen(places: int, count: int, generator: torch.Generator) -> Tensor:
    if places <= count:
        return torch.arange(places)
    return torch.randperm(places, generator=generator)[:count]


def _axis(places: Tensor, geometry: Geometry, axis: int) -> Tensor:
    """Along an axis, where each place's window lies: places x k."""
    steps = torch.arange(geometry.kernel[axis]) * geometry.dilation[axis]
    return places[:, None] * geometry.stride[axis] + steps


def _padded(images: Tensor, geometry: Geometry) -> Tensor:
    if isinstance(geometry.padding, str):
        spans = [
            dilation * (kernel - 1)
            for dilation, kernel in zip(geometry.dilation, geometry.kernel, strict=True)
        ]
        pads = [(span // 2, span - span // 2) for span in spans]
    else:
        pads = [(pad, pad) for pad in geometry.padding]
    sides = [*pads[WIDTH], *pads[HEIGHT]]
    if not any(sides):
        return images
    mode = geometry.padding_mode
    return functional.pad(images, sides, mode="constant" if mode == "zeros" else mode)
