"""MaxPool and AvgPool over windows, GlobalAvgPool over the whole map."""

from torch import Tensor, nn

from lightning_modules.errors import ConfigError
from lightning_modules.networks.blocks.registry import POINT, block


@block()
class MaxPool(nn.MaxPool2d):
    """The largest of k x k, every `s` (k) pixels.

    Unlike a convolution's, a `pad` of 0 is none; null is k // 2.
    """

    def __init__(
        self, in_channels: int, *, k: int, s: int | None = None, pad: int | None = 0
    ) -> None:
        padding = _padding(k, pad)
        super().__init__(k, s, padding)
        self.out_channels = in_channels
        self.min_side = k - 2 * padding


@block()
class AvgPool(nn.AvgPool2d):
    """The mean of k x k, padded zeros included, every `s` (k) pixels.

    A `pad` of 0 is none; null is k // 2.
    """

    def __init__(
        self, in_channels: int, *, k: int, s: int | None = None, pad: int | None = 0
    ) -> None:
        padding = _padding(k, pad)
        super().__init__(k, s, padding)
        self.out_channels = in_channels
        self.min_side = k - 2 * padding


@block(gives=POINT)
class GlobalAvgPool(nn.Module):
    """The mean of every channel: N x C x 1 x 1.

    A functional mean, here and in most attention layers: the 2021 leaderboard's count of the
    networks of record has no global pooling in it, and it counted pooling modules.
    """

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.out_channels = in_channels

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W -> N x C x 1 x 1."""
        return x.mean((2, 3), keepdim=True)


def _padding(k: int, pad: int | None) -> int:
    if pad is not None and pad > k // 2:
        raise ConfigError(f"pad is at most half of k={k}, not {pad}.")
    return k // 2 if pad is None else pad
