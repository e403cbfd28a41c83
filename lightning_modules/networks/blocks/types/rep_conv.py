"""RepConv, the block of RepVGG (Ding et al. 2021, arXiv 2101.03697): branches only for training."""

from torch import Tensor, nn

from lightning_modules.errors import ConfigError
from lightning_modules.networks.blocks.activations import activation
from lightning_modules.networks.blocks.layers import ConvBN
from lightning_modules.networks.blocks.registry import block


@block(scaled=("out",), stride="last")
class RepConv(nn.Module):
    """k x k, 1 x 1 and the input itself, each with BatchNorm, summed; then the activation.

    The input is a branch where it has the shape of the output. `compression=merge` makes one
    k x k convolution of it all.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        out: int,
        k: int,
        s: int = 1,
        groups: int = 1,
        act: str | None = "ReLU",
    ) -> None:
        super().__init__()
        if k % 2 == 0:
            raise ConfigError(f"k is odd, not {k}: the branches would differ in size.")
        self.dense = ConvBN(in_channels, out, k, s=s, groups=groups)
        # It strides by a slice: torch 2.15 dies (SIGSEGV) in the backward pass of a strided 1 x 1
        # convolution of few channels, such as an image's, in channels-last order.
        self.stride = s
        self.pointwise = ConvBN(in_channels, out, groups=groups) if k > 1 else None
        same = s == 1 and in_channels == out
        self.identity = nn.BatchNorm2d(in_channels) if same else None
        self.act = activation(act)
        self.out_channels = out

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W -> N x `out` x H/s x W/s."""
        y = self.dense(x)
        if self.pointwise is not None:
            y = y + self.pointwise(x[..., :: self.stride, :: self.stride])
        if self.identity is not None:
            y = y + self.identity(x)
        return self.act(y)
