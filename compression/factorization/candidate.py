"""The layers that may be factorised, as the rules for ranks see them, and why others may not."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from itertools import product

import torch
from torch import nn

from compression.cost import (
    Geometry,
    count_params,
    data_bytes,
    layer_calls,
    layer_macs,
    meta_copy,
)
from compression.cost.geometry import Layer
from compression.errors import CompressionError
from compression.factorization.decomposition import Decomposition
from compression.factorization.found_layers import find_layers, unsupported_layers
from compression.factorization.kernels import Spectrum, kernel_of
from compression.factorization.outside_use import used_from_outside
from compression.factorization.plan import BY_KIND, UNUSED, USED_OUTSIDE
from compression.factorization.whitening import Whitening
from compression.step import match_layers

RANKS = 64, 20  # of a product with one mode, and of each of two, that are looked at at least


class Candidate:
    """A layer, or the product that an earlier round or run made of it.

    Args:
        name: of the module in the network.
        layer: stays as it is.
        calls: shapes of its inputs, one for each time that it is called.
        decomposition: of the product that it may become.
        head: whether it is the network's last layer, which gives the logits.

    Attributes:
        not_factorized: whether it is still one layer.
        max_rank: the largest rank it can be given, see `Decomposition.max_rank`.
        min_rank: the smallest that a rule gives it, see `Decomposition.min_ranks`.
        whitening: of its inputs, where there are images to see them on.
    """

    whitening: Whitening | None = None

    def __init__(
        self,
        name: str,
        layer: Layer,
        calls: Sequence[torch.Size],
        decomposition: type[Decomposition],
        *,
        head: bool = False,
    ) -> None:
        self.name, self.layer, self.calls, self.decomposition = name, layer, calls, decomposition
        self.geometry = Geometry.of(layer, device="meta")
        self.not_factorized = not isinstance(layer, nn.Sequential)
        self.max_rank = decomposition.max_rank(layer)
        min_ranks = decomposition.min_ranks(self.geometry, head=head)
        self.min_rank = [min(pair) for pair in zip(min_ranks, self.max_rank, strict=True)]
        self._costs: dict[tuple[int, ...], dict[str, int]] = {}
        self._errors: dict[int, list[tuple[list[int], float]]] = {}

    @cached_property
    def weight_spectra(self) -> list[Spectrum]:
        """Of each unfolding of the weights; computed when first asked for."""
        unfoldings = self.decomposition.unfoldings(kernel_of(self.layer))
        return [Spectrum.of(*pair) for pair in zip(unfoldings, self.max_rank, strict=True)]

    @cached_property
    def spectra(self) -> list[Spectrum]:
        """The same of the outputs, where there are images; else those of the weights."""
        if self.whitening is None or not self.decomposition.fits_ranks:
            return self.weight_spectra
        kernel, covariance = kernel_of(self.layer), self.whitening.covariance
        found = self.decomposition.output_spectra(kernel, covariance)
        return [
            replace(spectrum, values=values[:, : spectrum.rows])
            for spectrum, values in zip(self.weight_spectra, found, strict=True)
        ]

    def output_errors(self, count: int = 0) -> list[tuple[list[int], float]]:
        """Ranks at which it gets cheaper, and the ratio of the output variance that each loses.

        Without images it is that of the squared weights; of two modes no more is known than that
        both lose their part.

        Args:
            count: of ranks to look at, if they are more than `RANKS`.
        """
        if count not in self._errors:
            self._errors[count] = self._output_errors(count)
        return self._errors[count]

    def _output_errors(self, count: int) -> list[tuple[list[int], float]]:
        ranks = [rank for rank in self._ranks(count) if self.is_cheaper(rank)]
        if not ranks:
            return []
        if self.whitening is not None and self.decomposition.fits_ranks:
            kernel, covariance = kernel_of(self.layer), self.whitening.covariance
            errors = self.decomposition.output_errors(kernel, covariance, ranks)
            return list(zip(ranks, errors, strict=True))
        lost = [spectrum.lost() for spectrum in self.spectra]
        return [
            (rank, min(1.0, sum(own[r] for own, r in zip(lost, rank, strict=True))))
            for rank in ranks
        ]

    def _ranks(self, count: int) -> list[list[int]]:
        """Ranks from the smallest to the largest, the small ones denser."""
        several = len(self.max_rank)
        count = max(RANKS[several - 1], round(count ** (1 / several)))
        modes = [
            sorted({round(low + (high - low) * (n / count) ** 1.5) for n in range(count + 1)})
            for low, high in zip(self.min_rank, self.max_rank, strict=True)
        ]
        return [self.decomposition.useful(rank, self.geometry) for rank in product(*modes)]

    def clamp_min_rank(self, rank: Sequence[int]) -> list[int]:
        """`rank`, where it is below `min_rank` raised to that."""
        return [max(pair) for pair in zip(self.min_rank, rank, strict=True)]

    @property
    def window(self) -> int:
        """How many inputs one of its outputs depends on."""
        height, width = self.geometry.kernel
        return self.geometry.group_inputs * height * width

    @cached_property
    def cost(self) -> dict[str, int]:
        """`macs` in one pass of the network, `params` and `file_bytes`, as it is."""
        return self._cost_of(self.layer)

    def cost_at(self, rank: Sequence[int]) -> dict[str, int]:
        """The same once it is factorised at `rank`."""
        if tuple(rank) not in self._costs:
            self._costs[tuple(rank)] = self._cost_of(
                self.decomposition.structure(self.geometry, rank)
            )
        return self._costs[tuple(rank)]

    def is_cheaper(self, rank: Sequence[int]) -> bool:
        """Whether it has fewer MACs and no more parameters once it is factorised at `rank`."""
        after = self.cost_at(rank)
        return after["macs"] < self.cost["macs"] and after["params"] <= self.cost["params"]

    def _cost_of(self, layer: Layer) -> dict[str, int]:
        macs = sum(layer_macs(layer, shape) for shape in self.calls)
        return {"macs": macs, "params": count_params(layer), "file_bytes": data_bytes(layer)}


def find_candidates(
    network: nn.Module,
    image_size: int | Sequence[int],
    decomposition: type[Decomposition],
    patterns: tuple[Sequence[str], Sequence[str]],
    *,
    split: bool,
) -> tuple[list[Candidate], dict[str, str]]:
    """The layers that can be factorised, and why others cannot, by name.

    Args:
        network: stays as it is.
        image_size: an int or [height, width] in pixels.
        decomposition: of the product.
        patterns: of the names of layers to include, and to exclude.
        split: whether grouped convolutions are split.

    Raises:
        CompressionError: a pattern matches nothing.
    """
    found = find_layers(network, decomposition)
    unsupported = unsupported_layers(network, found, decomposition, split=split)
    calls = layer_calls(network, image_size)
    unused = {name: UNUSED for name in found if name not in calls}
    wanted = match_layers(list(found), *patterns)
    excluded = {name: "excluded" for name in found if name not in wanted}
    supported = {name: layer for name, layer in found.items() if name not in unsupported}
    used = used_from_outside(network, image_size, supported)
    outside = {name: USED_OUTSIDE for name in found if name in used}
    skipped = {**unused, **outside, **excluded, **unsupported}
    head = next((name for name in reversed(calls) if name in found), None)
    candidates = [
        Candidate(name, layer, calls[name], decomposition, head=name == head)
        for name, layer in found.items()
        if name not in skipped
    ]
    apart = told_apart(network, image_size, candidates)
    skipped |= dict.fromkeys(apart, BY_KIND)
    return [c for c in candidates if c.name not in skipped], skipped


def told_apart(
    network: nn.Module, image_size: int | Sequence[int], candidates: Sequence[Candidate]
) -> list[str]:
    """The layers that the network does not call as often once they are products, or that it fails
    on: its own code asks what they are, as `isinstance(layer, nn.Linear)`.

    Args:
        network: stays as it is.
        image_size: an int or [height, width] in pixels.
        candidates: its layers.
    """
    twin = meta_copy(network)
    for candidate in candidates:
        geometry, rank = candidate.geometry, candidate.max_rank
        twin.set_submodule(candidate.name, candidate.decomposition.structure(geometry, rank))
    try:
        calls = layer_calls(twin, image_size)
    except CompressionError:
        half = len(candidates) // 2
        if not half:
            return [candidate.name for candidate in candidates]
        parts = candidates[:half], candidates[half:]
        return [name for part in parts for name in told_apart(network, image_size, part)]
    return [c.name for c in candidates if len(calls.get(c.name, ())) != len(c.calls)]
