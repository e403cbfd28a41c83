"""The latency of networks as ratios of one network's, which takes turns with each of them."""

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
import torch
from torch import nn

from compression.errors import CompressionError
from compression.images import RAW_PIXELS, ImageKind
from compression.latency.measure import eager_call, onnx_call, random_images, stable_times

Structure = tuple[str, tuple[torch.Size, ...]]


class RelativeLatency:
    """Measures in onnxruntime, one image and one thread; in eager PyTorch what cannot be exported.

    A busy machine slows both networks alike, so their ratio can be compared with one that was
    measured at another time; milliseconds cannot. Networks of one structure are measured once.

    Args:
        reference: the network whose latency is 1; it is exported when first needed.
        image_size: an int or [height, width] in pixels.
        images: the kind that the networks take.

    Attributes:
        note: a sentence that says why it is measured in eager PyTorch; empty where it is not.
    """

    def __init__(
        self,
        reference: nn.Module,
        image_size: int | Sequence[int],
        images: ImageKind = RAW_PIXELS,
    ) -> None:
        self.reference, self.image_size, self.kind = reference, image_size, images
        self.note = ""
        self._known = {structure_of(reference): 1.0}

    @cached_property
    def images(self) -> np.ndarray:
        """One image to pass, 1 x C x H x W."""
        return random_images(self.image_size, kind=self.kind)

    @cached_property
    def reference_ms(self) -> float:
        """Median milliseconds of the reference."""
        return 1e3 * float(_medians(self._calls())[0])

    def ratio(self, network: nn.Module) -> float:
        """Median time of `network` over that of the reference."""
        structure = structure_of(network)
        if structure not in self._known:
            whole, part = _medians(self._calls(network))
            self._known[structure] = float(part / whole)
        return self._known[structure]

    def _calls(self, *networks: nn.Module) -> list[Callable[[], object]]:
        """Of the reference and others, all in the same way."""
        if not self.note:
            try:
                first = self._reference_call
                others = [onnx_call(network, self.images, compare=False) for network in networks]
                return [first, *others]
            except CompressionError as error:
                self.note = f"Measured in eager PyTorch, not in onnxruntime. {error}"
        return [eager_call(network, self.images) for network in (self.reference, *networks)]

    @cached_property
    def _reference_call(self) -> Callable[[], object]:
        return onnx_call(self.reference, self.images, compare=False)


def _medians(calls: Sequence[Callable[[], object]]) -> np.ndarray:
    return np.median(stable_times(calls), axis=1)


def structure_of(network: nn.Module) -> Structure:
    """All that a network's latency depends on: its layers with their settings, and its sizes."""
    return repr(network), tuple(tensor.shape for tensor in network.state_dict().values())
