"""A layer that may be factorised, as the rules for ranks see it."""

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import nn

from compression.cost.geometry import Geometry, Layer
from compression.cost.layer_macs import layer_macs
from compression.cost.macs import count_params
from compression.factorization.form import Form
from compression.factorization.kernels import kernel_of
from compression.factorization.spectrum import Spectrum


class Candidate:
    """A layer, or the product that an earlier round or run made of it.

    Args:
        name: of the module in the network.
        layer: stays as it is.
        calls: shapes of its inputs, one for each time that it is called.
        form: of the product that it may become.
        head: whether it is the network's last layer, which gives the logits.

    Attributes:
        fresh: whether it is still one layer.
        full: the largest rank it can be given, see `Form.full_rank`.
        least: the smallest that a rule gives it, see `Form.least`.
    """

    def __init__(
        self,
        name: str,
        layer: Layer,
        calls: Sequence[torch.Size],
        form: type[Form],
        *,
        head: bool = False,
    ) -> None:
        self.name, self.layer, self.calls, self.form = name, layer, calls, form
        self.geometry = Geometry.of(layer, device="meta")
        self.fresh = not isinstance(layer, nn.Sequential)
        self.full = form.full_rank(layer)
        least = form.least(self.geometry, head=head)
        self.least = [min(pair) for pair in zip(least, self.full, strict=True)]
        self._costs: dict[tuple[int, ...], dict[str, int]] = {}

    @cached_property
    def spectra(self) -> list[Spectrum]:
        """Of each unfolding; computed when first asked for."""
        unfoldings = self.form.unfoldings(kernel_of(self.layer))
        return [Spectrum.of(*pair) for pair in zip(unfoldings, self.full, strict=True)]

    def raised(self, rank: Sequence[int]) -> list[int]:
        """`rank`, where it is below `least` raised to that."""
        return [max(pair) for pair in zip(self.least, rank, strict=True)]

    @cached_property
    def cost(self) -> dict[str, int]:
        """`macs` in one pass of the network and `params`, as it is."""
        return self._cost_of(self.layer)

    def cost_at(self, rank: Sequence[int]) -> dict[str, int]:
        """The same once it is factorised at `rank`."""
        if tuple(rank) not in self._costs:
            self._costs[tuple(rank)] = self._cost_of(self.form.structure(self.geometry, rank))
        return self._costs[tuple(rank)]

    def _cost_of(self, layer: Layer) -> dict[str, int]:
        macs = sum(layer_macs(layer, shape) for shape in self.calls)
        return {"macs": macs, "params": count_params(layer)}
