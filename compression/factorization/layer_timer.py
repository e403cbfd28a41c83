"""Whether the product of a layer is faster than the layer: both are timed in onnxruntime."""

from collections.abc import Sequence

import torch

from compression.cost.geometry import signature
from compression.factorization.candidate import Candidate
from compression.latency import compare_layers

GAIN = 0.05  # a product must be faster by this ratio: less is within the noise


class LayerTimer:
    """Measures in onnxruntime, at the input shapes that the network itself gives."""

    def __init__(self) -> None:
        self._seen: dict[tuple, tuple[float, float]] = {}

    def compare(self, candidate: Candidate, rank: Sequence[int]) -> tuple[float, float]:
        """Milliseconds in one pass of the network: of the layer, and of its product at `rank`."""
        before, (after,) = self.options(candidate, [rank])
        return before, after

    def options(
        self, candidate: Candidate, ranks: Sequence[Sequence[int]]
    ) -> tuple[float, list[float]]:
        """The same of products at several ranks, which take turns with each other."""
        before, after = 0.0, [0.0] * len(ranks)
        for shape in candidate.calls:
            pairs = self._pairs(candidate, ranks, shape)
            before += pairs[0][0]
            after = [sum(times) for times in zip(after, (pair[1] for pair in pairs), strict=True)]
        return before, after

    @staticmethod
    def gains(before: float, after: float) -> bool:
        """Whether a product is faster by more than noise."""
        return after <= (1 - GAIN) * before

    def _pairs(
        self, candidate: Candidate, ranks: Sequence[Sequence[int]], shape: torch.Size
    ) -> list[tuple[float, float]]:
        structure, geometry = candidate.decomposition.structure, candidate.geometry
        products = [structure(geometry, rank) for rank in ranks]
        whole = signature(candidate.layer)
        keys = [(*whole, *signature(product), shape) for product in products]
        new = {k: p for k, p in zip(keys, products, strict=True) if k not in self._seen}
        if new:
            layers = [(candidate.layer, shape), *((product, shape) for product in new.values())]
            before, *after = compare_layers(layers)
            self._seen |= {key: (before, ms) for key, ms in zip(new, after, strict=True)}
        return [self._seen[key] for key in keys]
