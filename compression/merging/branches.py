"""The modules of a network whose parallel branches amount to one convolution.

Each module's `forward` is run on an `TracedConv`. Where it gives one, the module is that
convolution; where it sums branches and hands the sum to one member after the other (an attention,
an activation), it is the convolution followed by these. So classes need not be known: RepVGG's,
MobileOne's, FastViT's and RepViT's are found, and whatever else computes the like.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from compression.cost import observed_pass
from compression.merging.equivalent_conv import NotAConvolutionError
from compression.merging.traced_conv import TracedConv

OTHER = (0, 0)  # the input of a module that is not given one map alone


@dataclass(frozen=True)
class Merged:
    """What a module with branches amounts to.

    Attributes:
        conv: all of its branches.
        then: the members that follow, in order.
    """

    conv: TracedConv
    then: tuple[str, ...] = ()


def merged_branches(module: nn.Module, channels: int, *, flat: bool) -> Merged | None:
    """What a module amounts to, in evaluation.

    Args:
        module: in evaluation mode; may be on the meta device. Stays as it is.
        channels: of its input.
        flat: whether that is N x C, not N x C x H x W.

    Returns:
        None where it sums no branches, or one of its members does all of it.

    Raises:
        NotAConvolutionError: it does something else; `summed` says whether branches were lost by.
    """
    tensors: list[Tensor] = [*module.parameters(), *module.buffers()]
    floating = next(tensor for tensor in tensors if tensor.is_floating_point())
    entering = TracedConv.of_input(
        channels, flat=flat, device=floating.device, dtype=floating.dtype
    )
    try:
        with torch.no_grad(), _members_followed(module):
            found = module(entering)
    except NotAConvolutionError:
        raise
    except Exception as error:  # whatever code does that wants a real map
        raise NotAConvolutionError(type(error).__name__) from error
    merged = Merged(found) if isinstance(found, TracedConv) else found
    if not isinstance(merged, Merged):
        raise NotAConvolutionError(type(found).__name__)
    if merged.conv.branches < 2 or merged.conv.made_by is not None:
        return None
    return merged if len({*merged.then}) == len(merged.then) else None


def find_branches(
    network: nn.Module, image_size: int | Sequence[int]
) -> tuple[dict[str, Merged], dict[str, str]]:
    """The modules that can be merged, by name, outermost first; and why others cannot.

    Args:
        network: stays as it is; may be on the meta device.
        image_size: an int or [height, width] in pixels.

    Raises:
        CompressionError: the network cannot take images of that size.
    """
    observed = observed_pass(network, image_size, _Inputs)
    found: dict[str, Merged] = {}
    skipped: dict[str, str] = {}
    for name, module in observed.modules.items():
        inside = any(name.startswith(f"{outer}.") for outer in found)
        if inside or not name or not _may_have_branches(module):
            continue
        given = observed.seen.get(name, {OTHER})
        if len(given) != 1 or OTHER in given:
            continue
        ((channels, ndim),) = given
        try:
            merged = merged_branches(module, channels, flat=ndim == 2)
        except NotAConvolutionError as error:
            if error.summed:
                skipped[name] = f"its branches go into {error}, not into a member of it"
            continue
        if merged is None:
            continue
        if merged.conv.is_costlier:
            skipped[name] = "one convolution would be costlier than its branches"
        else:
            found[name] = merged
    return found, skipped


def _may_have_branches(module: nn.Module) -> bool:
    """A layer or a sequence sums nothing of its own."""
    if type(module).forward is nn.Sequential.forward:
        return False
    layer = type(module).__module__.startswith("torch.nn.") and not any(module.children())
    return not layer and any(p.ndim > 1 for p in module.parameters())


class _Inputs(AbstractContextManager["_Inputs"]):
    """What each module is given: (channels, dimensions) of a map alone, or `OTHER`.

    Attributes:
        modules: of the copy that was run, by name.
        seen: by the same names.
    """

    def __init__(self, network: nn.Module) -> None:
        self.modules = dict(network.named_modules())
        self.seen: dict[str, set[tuple[int, int]]] = {}
        self._hooks = [
            module.register_forward_pre_hook(partial(self._remember, name), with_kwargs=True)
            for name, module in self.modules.items()
        ]

    def __enter__(self) -> "_Inputs":
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def _remember(
        self, name: str, _: nn.Module, given: tuple[Any, ...], named: dict[str, Any]
    ) -> None:
        alone = len(given) == 1 and not named and isinstance(given[0], Tensor)
        kind = (given[0].shape[1], given[0].ndim) if alone and given[0].ndim in (2, 4) else OTHER
        self.seen.setdefault(name, set()).add(kind)


@contextmanager
def _members_followed(module: nn.Module) -> Iterator[None]:
    """Members that no convolution can take in, and those after them, become a `Merged`'s `then`."""
    members = dict(module.named_children())
    own: dict[str, Any] = {name: vars(member).get("forward") for name, member in members.items()}
    for name, member in members.items():
        member.forward = partial(_followed, name, member.forward)
    try:
        yield
    finally:
        for name, member in members.items():
            if own[name] is None:
                del member.forward
            else:
                member.forward = own[name]


def _followed(name: str, forward: Callable[..., Any], given: Any, *more: Any, **named: Any) -> Any:
    if isinstance(given, Merged) and not (more or named):
        return Merged(given.conv, (*given.then, name))
    if not isinstance(given, TracedConv):
        return forward(given, *more, **named)
    whole, before = given.untouched, replace(given)  # which the member may change in place
    try:
        found = forward(given, *more, **named)
    except Exception:  # whatever code does that wants a real map
        if more or named:
            raise
        return Merged(before, (name,))
    if whole and isinstance(found, TracedConv):
        found.made_by = name
    return found
