"""The latency of networks as shares of one network's, which takes turns with each of them."""

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
import torch
from torch import nn

from compression.latency import onnx_call, random_images, take_turns

# Timed passes of each network: on a busy machine the medians of 50 short passes of one and the same
# network were seen to differ by a factor of two, those of 300 by 2 %.
LEAST, MOST = 50, 500
SECONDS = 3.0  # to spend on a comparison, within these bounds
Structure = tuple[str, tuple[torch.Size, ...]]


class RelativeLatency:
    """Measures in onnxruntime, one image and one thread.

    A busy machine slows both networks alike, so their ratio can be compared with one that was
    measured at another time; milliseconds cannot. Networks of one structure are measured once.

    Args:
        reference: the network whose latency is 1; it is exported when first needed.
        image_size: an int or [height, width] in pixels.
    """

    def __init__(self, reference: nn.Module, image_size: int | Sequence[int]) -> None:
        self.reference, self.images = reference, random_images(image_size)
        self._known = {structure_of(reference): 1.0}

    @cached_property
    def reference_ms(self) -> float:
        """Median milliseconds of the reference."""
        return 1e3 * float(_medians([self._reference_call])[0])

    def share(self, network: nn.Module) -> float:
        """Median time of `network` over that of the reference.

        Raises:
            CompressionError: one of them cannot be exported.
        """
        structure = structure_of(network)
        if structure not in self._known:
            calls = [self._reference_call, onnx_call(network, self.images, compare=False)]
            whole, part = _medians(calls)
            self._known[structure] = float(part / whole)
        return self._known[structure]

    @cached_property
    def _reference_call(self) -> Callable[[], object]:
        return onnx_call(self.reference, self.images, compare=False)


def _medians(calls: Sequence[Callable[[], object]]) -> np.ndarray:
    """Median seconds of each call; the shorter they are, the more turns they take."""
    times = take_turns(calls, LEAST)
    turns = int(SECONDS / np.median(times, axis=1).sum())
    if turns > LEAST:
        times = np.hstack([times, take_turns(calls, min(turns, MOST) - LEAST)])
    return np.median(times, axis=1)


def structure_of(network: nn.Module) -> Structure:
    """All that a network's latency depends on: its layers with their settings, and its sizes."""
    return repr(network), tuple(tensor.shape for tensor in network.state_dict().values())
