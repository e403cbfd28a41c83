"""The cosine head: a last layer that compares directions, as ArcFace wants it."""

import math
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from compression.cost import forward_shapes, runnable_copy
from lightning_modules.errors import ConfigError

EPSILON = 1e-6  # least norm; half precision still holds it
SILENT = (nn.Identity, nn.Dropout, nn.Flatten)  # what may follow a head without changing logits


class CosineLinear(nn.Linear):
    """N x features -> `scale` * cosine of the angle to each class's weight, N x classes.

    Deng et al. 2019, "ArcFace", section 3.1; without bias.

    Raises:
        ConfigError: `scale` is not above 0.
    """

    def __init__(self, in_features: int, out_features: int, *, scale: float) -> None:
        super().__init__(in_features, out_features, bias=False)
        if not isinstance(scale, int | float) or not 0 < scale < math.inf:
            raise ConfigError(f"model.cosine_scale={scale} is not allowed; it must be above 0.")
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """N x features, or N x ... x features."""
        directions = functional.normalize(self.weight, dim=-1, eps=EPSILON)
        x = functional.normalize(x, dim=-1, eps=EPSILON)
        return self.scale * functional.linear(x, directions)

    def extra_repr(self) -> str:
        """What a printed network shows of it: the sizes and the scale."""
        return f"{super().extra_repr()}, scale={self.scale}"


def put_cosine_head(
    network: nn.Module, image_size: tuple[int, int], *, scale: float, name: str
) -> None:
    """Put a new `CosineLinear` in the place of the network's last layer.

    Args:
        network: changed in place; takes images of `image_size`, (height, width) in pixels.
        scale: of the logits, above 0.
        name: of the network, for the sentence.

    Raises:
        ConfigError: the last layer is not an `nn.Linear` whose output are the logits.
    """
    path, layer = _last_layer(network, image_size)
    if not isinstance(layer, nn.Linear):
        last = f"{path.removeprefix('body.')} ({type(layer).__name__})".lstrip()
        raise ConfigError(
            f"{name} ends in {last}, but the cosine head of loss=arcface takes the place of a last "
            "Linear; choose a network that ends in one, or another loss."
        )
    head = CosineLinear(layer.in_features, layer.out_features, scale=scale)
    network.set_submodule(path, head)


def _last_layer(network: nn.Module, image_size: tuple[int, int]) -> tuple[str, nn.Module]:
    """Name and module of what gives the logits, found by passing an image without values."""
    copy = runnable_copy(network, image_size)
    calls: list[tuple[nn.Module, Any]] = []
    for module in copy.modules():
        module.register_forward_hook(lambda module, _, output: calls.append((module, output)))
    forward_shapes(copy, image_size)
    _, logits = calls[-1]  # the whole network's
    names = {module: name for name, module in copy.named_modules()}
    leaves = [(m, out) for m, out in calls if not [*m.children()] and not isinstance(m, SILENT)]
    last, output = leaves[-1]
    if isinstance(last, nn.Linear) and output is not logits:  # something functional follows
        last = next(m for m, _ in reversed(calls) if [*m.children()])
    return names[last], network.get_submodule(names[last])
