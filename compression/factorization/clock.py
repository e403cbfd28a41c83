"""Whether a product measures faster than its layer; layers of one shape are measured once."""

from collections.abc import Sequence

import torch

from compression.cost.geometry import signature
from compression.factorization.candidate import Candidate
from compression.latency.layer_latency import compare_layers

GAIN = 0.05  # a product must be faster by this share: less is within the noise


class Clock:
    """Measures in onnxruntime, at the input shapes that the network itself gives."""

    def __init__(self) -> None:
        self._seen: dict[tuple, tuple[float, float]] = {}

    def compare(self, candidate: Candidate, rank: Sequence[int]) -> tuple[float, float]:
        """Milliseconds in one pass of the network: of the layer, and of its product at `rank`."""
        pairs = [self._pair(candidate, rank, shape) for shape in candidate.calls]
        before, after = (sum(times) for times in zip(*pairs, strict=True))
        return before, after

    def _pair(
        self, candidate: Candidate, rank: Sequence[int], shape: torch.Size
    ) -> tuple[float, float]:
        product = candidate.form.structure(candidate.geometry, rank)
        key = (*signature(candidate.layer), *signature(product), shape)
        if key not in self._seen:
            before, after = compare_layers([(candidate.layer, shape), (product, shape)])
            self._seen[key] = before, after
        return self._seen[key]
