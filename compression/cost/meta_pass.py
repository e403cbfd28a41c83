"""A pass of a network that is only looked at: without values where the network lets itself be.

On the meta device shapes are followed for free. A network that reads a value in its `forward`, or
makes tensors there, cannot run so; a copy of it is run on the processor instead. How many channels
an image has is found by trying: what the first convolution takes, then the usual numbers.
"""

import copy
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.parameter import is_lazy
from torch.utils._pytree import tree_leaves

from compression.errors import CompressionError, own_words
from compression.outputs import main_output
from compression.schema import height_width

T = TypeVar("T")
CHANNELS = "_image_channels"  # the attribute by which a copy knows what it takes
USUAL_CHANNELS = (3, 1, 4, 2)  # of images
_channels_of: WeakKeyDictionary[nn.Module, int] = WeakKeyDictionary()  # as they were found


def meta_copy(network: nn.Module) -> nn.Module:
    """`network` with every tensor of its own on the meta device, frozen, in eval mode.

    The given network is neither moved nor changed, and its weights are never copied.
    """
    return _copy(network, lambda tensor: torch.empty_like(tensor, device="meta"))


def runnable_copy(network: nn.Module, image_size: int | Sequence[int]) -> nn.Module:
    """The cheapest frozen copy in eval mode that takes an image: on meta, else on the processor.

    Raises:
        CompressionError: the network cannot take images of that size.
    """
    return observed_pass(network, image_size, nullcontext)


def observed_pass(
    network: nn.Module,
    image_size: int | Sequence[int],
    observe: Callable[[nn.Module], AbstractContextManager[T]],
) -> T:
    """Pass one image through the cheapest copy that can run, and give what was seen of it.

    Args:
        network: stays as it is.
        image_size: an int or [height, width] in pixels.
        observe: given the copy, a context that is entered around the pass; called anew where the
            copy on meta cannot run. `nullcontext` gives the copy itself.

    Raises:
        CompressionError: the network cannot take images of that size.
    """
    return _first_pass(network, image_size, observe)[0]


def image_channels(network: nn.Module, image_size: int | Sequence[int]) -> int:
    """How many channels the network's images have.

    Raises:
        CompressionError: the network cannot take images of that size.
    """
    channels: int = vars(runnable_copy(network, image_size))[CHANNELS]
    return channels


def output_shape(network: nn.Module, image_size: int | Sequence[int]) -> torch.Size:
    """The shape of the logits of one image; the network stays as it is.

    Raises:
        CompressionError: the network cannot take images of that size.
    """
    return _first_pass(network, image_size, nullcontext)[1]


def forward_shapes(network: nn.Module, image_size: int | Sequence[int]) -> torch.Size:
    """Pass one image through a network where it lies, on meta without values; the logits' shape.

    The image has three channels, or as many as `observed_pass` found for this copy.

    Raises:
        CompressionError: the network cannot take images of that size.
    """
    height, width = height_width(image_size)
    device = next((p.device for p in network.parameters()), torch.device("meta"))
    # Floating pixels suit a network that normalises by itself and one that does not.
    channels = vars(network).get(CHANNELS, 3)
    image = torch.zeros(1, channels, height, width, dtype=float_dtype(network), device=device)
    try:
        with torch.no_grad():
            return main_output(network(image)).shape
    except CompressionError:
        raise
    except Exception as error:  # whatever the network's own code raises
        raise CompressionError(
            f"The network cannot take images of {height} x {width} pixels: {own_words(error)}."
        ) from error


def _first_pass(
    network: nn.Module,
    image_size: int | Sequence[int],
    observe: Callable[[nn.Module], AbstractContextManager[T]],
) -> tuple[T, torch.Size]:
    """What was seen of the first copy that could run, and the shape of its logits."""
    failures = []
    for channels in _possible_channels(network):
        for make in (meta_copy, _real_copy):
            twin = make(network)
            vars(twin)[CHANNELS] = channels
            try:
                with observe(twin) as seen:
                    shape = forward_shapes(twin, image_size)
                _channels_of[network] = channels
                return seen, shape
            except CompressionError as error:
                failures.append(error)
    raise failures[1]  # of the likeliest images, where all values are there


def _possible_channels(network: nn.Module) -> list[int]:
    """The likeliest first: what was found before, then what the first convolution takes."""
    known = _channels_of.get(network, vars(network).get(CHANNELS))
    convolutions = (m for m in network.modules() if isinstance(m, _ConvNd))
    first = next((m.in_channels for m in convolutions if m.in_channels), 3)  # 0: a lazy one
    likely = (first,) if known is None else (known, first)
    return list(dict.fromkeys((*likely, *USUAL_CHANNELS)))


def layer_calls(network: nn.Module, image_size: int | Sequence[int]) -> dict[str, list[torch.Size]]:
    """The shapes of a module's inputs, 1 x C x H x W, call by call; of all that are called."""
    return observed_pass(network, image_size, _InputShapes)


def float_dtype(network: nn.Module) -> torch.dtype:
    """Of its floating parameters; float32 where it has none."""
    floating = (p.dtype for p in network.parameters() if p.is_floating_point())
    return next(floating, torch.float32)


class _InputShapes(AbstractContextManager[dict[str, list[torch.Size]]]):
    def __init__(self, network: nn.Module) -> None:
        self.shapes: dict[str, list[torch.Size]] = {}
        for name, module in network.named_modules():
            module.register_forward_pre_hook(partial(self._remember, name))

    def __enter__(self) -> dict[str, list[torch.Size]]:
        return self.shapes

    def __exit__(self, *_: object) -> None:
        """The copy is thrown away with its hooks."""

    def _remember(self, name: str, _: nn.Module, inputs: tuple[Any, ...]) -> None:
        if inputs and isinstance(inputs[0], Tensor):
            self.shapes.setdefault(name, []).append(inputs[0].shape)


def _copy(network: nn.Module, twin_of: Callable[[Tensor], Tensor]) -> nn.Module:
    """A copy whose tensors are those that `twin_of` makes, plain attributes of modules included."""
    # deepcopy takes what its memo already holds, so the tensors are swapped while it walks.
    memo: dict[int, Any] = {}
    for module in network.modules():
        own = {name: value for name, value in vars(module).items() if name != "_modules"}
        for name, value in [*own.items()]:
            if type(value) is OrderedDict and not value:  # of hooks: a dozen in every module
                memo[id(value)] = OrderedDict()
                del own[name]
        for tensor in tree_leaves(own):
            # Lazy layers have tensors without a shape; the pass gives them one, on the processor.
            known = isinstance(tensor, Tensor) and not is_lazy(tensor)
            if known and id(tensor) not in memo:
                memo[id(tensor)] = _as_kind(tensor, twin_of(tensor.detach()))
    return copy.deepcopy(network, memo).eval()


def _as_kind(tensor: Tensor, twin: Tensor) -> Tensor:
    # Frozen: PyTorch's counter fails on a parameter that is passed from module to module.
    is_parameter = isinstance(tensor, nn.Parameter)
    return nn.Parameter(twin, requires_grad=False) if is_parameter else twin


def _real_copy(network: nn.Module) -> nn.Module:
    """On the processor; where the network has no values, with random ones."""

    def filled(tensor: Tensor) -> Tensor:
        if not tensor.is_meta:
            return tensor.clone().cpu()
        made = torch.empty_like(tensor, device="cpu")
        return made.uniform_(0.01, 0.1) if made.is_floating_point() else made.zero_()

    return _copy(network, filled)
