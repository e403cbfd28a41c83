"""The reference for pruned networks: the original with its removed channels set to 0.

It knows nothing of how pruning follows channels. Every position that a plan takes out of a tensor
is set to 0 there, and the whole network is run: a pruned network computes the same, unless it reads
other channels than those that were kept. What is relative to the number of channels is taken over
the kept ones on both sides: norms, also written by hand as means over channels. Drop-out that
stays on is left out on both sides, since its draw depends on the size.
"""

from collections.abc import Callable, Sequence, Set
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from compression.network_copy import copy_network, forget_stored
from compression.outputs import main_output
from compression.pruning.folding import folded
from compression.pruning.prune_plan import PrunePlan

MEANS: dict[Any, Callable[..., Any]] = {
    torch.mean: Tensor.mean,
    torch.var: Tensor.var,
    torch.std: Tensor.std,
}
DIFFERENCES = (torch.sub, Tensor.sub, Tensor.__sub__, torch.subtract)
QUOTIENTS = (torch.div, torch.true_divide, Tensor.div, Tensor.__truediv__, Tensor.true_divide)
DROPOUTS = (F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout)


def masked_difference(
    network: nn.Module, smaller: nn.Module, plan: PrunePlan, images: Tensor
) -> float:
    """The largest difference of the logits, relative to the largest logit.

    Args:
        network: before pruning; stays as it is.
        smaller: after it, before its BatchNorm is recalibrated.
        plan: of `Prune`.
        images: N x C x H x W, as the network takes them.
    """
    expected = masked_logits(network, plan, images)
    with torch.no_grad(), _KeptOnly({}, {}):
        found = main_output(copy_network(smaller).eval()(images))
    if found.shape != expected.shape or not expected.isfinite().all():
        return float("inf")
    return float((found - expected).abs().max() / expected.abs().max())


def masked_logits(network: nn.Module, plan: PrunePlan, images: Tensor) -> Tensor:
    """The logits, N x classes, of a network with its removed channels set to 0."""
    twin = folded(copy_network(network).eval())
    with torch.no_grad():
        # Positions of means that are 0 even without a mask belong to dead channels, not removed.
        with _KeptOnly({}, {}) as whole:
            twin(images)
        kept = mask(twin, plan)
        forget_stored(twin)
        with _KeptOnly(kept, whole.zeros, _cuts(plan)):
            return main_output(twin(images))


def _cuts(plan: PrunePlan) -> set[tuple[int, int]]:
    """Of every axis that is cut, how many positions it has and how many go."""
    found = set()
    for name, axes in plan["axes"].items():
        for axis, number in axes.items():
            size = plan["shapes"][name][int(axis)]
            size *= plan["groups"].get(name, 1) if axis == "1" else 1
            found.add((size, size - len(plan["kept"][number])))
    return found


def mask(network: nn.Module, plan: PrunePlan) -> dict[int, Tensor]:
    """Set what a plan takes out to 0, in place; by id of a tensor, what it keeps (bool)."""
    tensors = {
        **dict(network.named_parameters(remove_duplicate=False)),
        **dict(network.named_buffers(remove_duplicate=False)),
    }
    kept: dict[int, Tensor] = {}
    for name, axes in plan["axes"].items():
        tensor, groups = tensors[name].data, plan["groups"].get(name, 1)
        stays = torch.ones(tensor.shape, dtype=torch.bool)
        for axis, number in axes.items():
            stays &= _along(tensor, int(axis), plan["kept"][number], groups)
        tensor[~stays] = 0
        kept[id(tensors[name])] = stays
    return kept


def enliven(network: nn.Module, seed: int = 0) -> nn.Module:
    """Give values to all that training would have: constant tensors, norms, statistics; in place.

    A scale of 1e-5 or a shift of 0 would hide what is computed wrongly behind it.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        value = tensor.data
        if not value.is_floating_point() or (value != value.flatten()[:1]).any():
            continue
        if name.endswith(("var", "weight", "gamma", "scale")):
            value.copy_(torch.empty_like(value).uniform_(0.5, 1.5, generator=generator))
        elif isinstance(tensor, nn.Parameter) or name.endswith("mean"):
            value.copy_(torch.empty_like(value).normal_(0, 0.1, generator=generator))
    return network.eval()


def _along(tensor: Tensor, axis: int, kept: Sequence[int], groups: int) -> Tensor:
    """Which elements stay; axis 1 of a grouped convolution is meant over all of its inputs."""
    size = tensor.shape[axis] * (groups if axis == 1 else 1)
    stays = torch.zeros(size, dtype=torch.bool)
    stays[list(kept)] = True
    if axis == 1 and groups > 1:
        rows = stays.reshape(groups, 1, -1).expand(-1, tensor.shape[0] // groups, -1)
        return rows.reshape(*tensor.shape[:2], *([1] * (tensor.ndim - 2)))
    return stays.reshape([-1 if d == axis else 1 for d in range(tensor.ndim)])


class _KeptOnly(TorchFunctionMode):
    """Norms, and means and variances over channels, leave out what was removed.

    Args:
        kept: by id of a weight, which of its elements stay.
        dead: by number of the call, positions that are 0 without a mask as well.
        cuts: how many positions an axis has, and how many of them go, wherever one is cut: a row
            of a map in which all channels are 0 is none that was taken out.
    """

    def __init__(
        self,
        kept: dict[int, Tensor],
        dead: dict[int, dict[int, Tensor]],
        cuts: Set[tuple[int, int]] = frozenset(),
    ) -> None:
        super().__init__()
        self.kept, self.dead, self.cuts = kept, dead, cuts
        self.zeros: dict[int, dict[int, Tensor]] = {}
        self._calls = 0
        self._means: list[tuple[Tensor, Tensor]] = []  # a mean, and where its source was removed

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in DROPOUTS:
            return args[0] if args else kwargs["input"]
        rewritten: dict[Callable[..., Any], Callable[..., Any]] = {
            F.layer_norm: self._layer_norm,
            F.rms_norm: self._rms_norm,
            F.group_norm: self._group_norm,
            torch.group_norm: self._group_norm,
            torch.layer_norm: self._layer_norm,
            torch.var_mean: self._var_mean,
        }
        if func is F.batch_norm and kwargs.get("running_mean", args[1]) is None:
            return self._standardized(*args, **kwargs)
        if func in rewritten:
            return rewritten[func](*args, **kwargs)
        if func in MEANS or func in MEANS.values():
            return self._mean(MEANS.get(func, func), *args, **kwargs)
        out = func(*args, **kwargs)
        if func in QUOTIENTS and isinstance(out, Tensor) and out.is_floating_point():
            return torch.where(out.isnan(), 0, out)  # 0 / 0: a filter of 0 by its length
        if func in DIFFERENCES:
            for mean, removed in self._means:
                if args[1] is mean and out.shape == torch.broadcast_shapes(
                    out.shape, removed.shape
                ):
                    out = torch.where(removed, 0, out)
        return out

    def _removed(self, x: Tensor, dims: list[int]) -> Tensor:
        """Where `x` is 0 all along all others but one of these, though not without a mask."""
        zeros = {}
        for dim in dims:  # a channel lies along one of them; single places of a map may be 0
            others = [d for d in range(x.ndim) if d != dim]
            zeros[dim] = (x == 0).all(others, keepdim=True) if others else x == 0
        call, self._calls = self._calls, self._calls + 1
        self.zeros[call] = zeros
        removed = torch.zeros((), dtype=torch.bool, device=x.device)
        for dim, dead in self.dead.get(call, {}).items():
            gone = zeros[dim] & ~dead
            # Channels and places may lie along one dimension together, as in rows of a weight.
            ratios = (n * x.shape[dim] == int(gone.sum()) * size for size, n in self.cuts)
            if any(ratios):
                removed = removed | gone
        return removed

    def _stays(self, x: Tensor, weight: Tensor | None, dims: list[int]) -> Tensor:
        removed = self._removed(x, dims)
        found = None if weight is None else self.kept.get(id(weight))
        return ~removed if found is None else found

    def _layer_norm(
        self, x: Tensor, shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5,
        *_: Any,
    ) -> Tensor:  # fmt: skip
        dims = list(range(x.ndim - len(shape), x.ndim))
        return _affine(_norm(x, self._stays(x, weight, dims), dims, eps), weight, bias)

    def _rms_norm(self, x: Tensor, shape: Any, weight: Any = None, eps: Any = None) -> Tensor:
        dims = list(range(x.ndim - len(shape), x.ndim))
        stays = self._stays(x, weight, dims)
        eps = torch.finfo(x.dtype).eps if eps is None else eps
        return _affine(_norm(x, stays, dims, eps, centered=False), weight, None)

    def _group_norm(
        self, x: Tensor, groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5,
        *_: Any,
    ) -> Tensor:  # fmt: skip
        stays = self._stays(x, weight, [1]).reshape(-1)
        if len(stays) != x.shape[1]:
            stays = stays.new_ones(x.shape[1])
        runs = x.reshape(len(x), groups, -1)
        places = prod(x.shape[2:])
        within = stays[:, None].expand(-1, places).reshape(1, groups, -1)
        out = _norm(runs, within, [2], eps).reshape(x.shape)
        along = (-1,) + (1,) * (x.ndim - 2)
        return _affine(
            out,
            None if weight is None else weight.reshape(along),
            None if bias is None else bias.reshape(along),
        )

    def _standardized(
        self, x: Tensor, mean: None = None, var: None = None, weight: Any = None, bias: Any = None,
        training: bool = True, momentum: float = 0.1, eps: float = 1e-5,
    ) -> Tensor:  # fmt: skip
        """A weight, 1 x outputs x inputs, by the norm of a batch: 0 is what was removed of it."""
        call, self._calls = self._calls, self._calls + 1
        self.zeros[call] = {1: x == 0}
        stays = ~(x == 0) | self.dead.get(call, {}).get(1, x == 0)
        others = [d for d in range(x.ndim) if d != 1]
        along = (-1,) + (1,) * (x.ndim - 2)
        return _affine(
            _norm(x, stays, others, eps),
            None if weight is None else weight.reshape(along),
            None if bias is None else bias.reshape(along),
        )

    def _var_mean(self, x: Tensor, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        aside = {k: v for k, v in kwargs.items() if k not in ("unbiased", "correction")}
        return self._mean(Tensor.var, x, *args, **kwargs), self._mean(
            Tensor.mean, x, *args, **aside
        )

    def _mean(self, func: Callable[..., Any], x: Tensor, *args: Any, **kwargs: Any) -> Any:
        dim = kwargs.get("dim", args[0] if args and not isinstance(args[0], bool) else None)
        dims = [dim] if isinstance(dim, int) else list(dim or [])
        dims = [d % x.ndim for d in dims]
        out = func(x, *args, **kwargs)
        if not dims or not x.is_floating_point():
            return out
        removed = self._removed(x, dims)
        if not removed.any():
            return out
        keepdim = out.ndim == x.ndim
        stays = ~removed.expand(x.shape)
        count = stays.sum(dims, keepdim=True).clamp(min=1)
        mean = torch.where(stays, x, 0).sum(dims, keepdim=True) / count
        if func is not Tensor.mean:
            unbiased = kwargs.get("unbiased", kwargs.get("correction", 1) != 0)
            square = torch.where(stays, (x - mean).square(), 0).sum(dims, keepdim=True)
            mean = square / (count - int(unbiased))
            mean = mean.sqrt() if func is Tensor.std else mean
        out = mean if keepdim else mean.squeeze(dims)
        self._means.append((out, removed))
        return out


def _norm(
    x: Tensor, stays: Tensor, dims: list[int], eps: float, *, centered: bool = True
) -> Tensor:
    """Over what stays of these dimensions; 0 elsewhere."""
    stays = stays.expand(x.shape)
    count = stays.sum(dims, keepdim=True).clamp(min=1)
    x = torch.where(stays, x, 0)
    if centered:
        x = torch.where(stays, x - x.sum(dims, keepdim=True) / count, 0)
    return x * (x.square().sum(dims, keepdim=True) / count + eps).rsqrt()


def _affine(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    x = x if weight is None else x * weight
    return x if bias is None else x + bias
