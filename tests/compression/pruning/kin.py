"""Tiny networks by the way that their channels go: KIN[name] for 3 x 16 x 16 images, 4 classes.

A stem makes 16 channels, `middle` does what the class is named after, a convolution and a head
read the result.
"""

import torch
from torch import nn
from torch.nn import functional as F


class Kin(nn.Module):
    """stem -> middle -> convolution -> head."""

    out = 16  # channels that middle gives

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.SiLU())
        self.last, self.head = nn.Conv2d(self.out, 12, 3), nn.Linear(12, 4)
        self.setup()

    def setup(self) -> None:
        """Layers and parameters of the middle."""

    def middle(self, x):
        return x

    def forward(self, x):
        return self.head(self.last(self.middle(self.stem(x))).relu().mean((2, 3)))


# Which axis is a channel ---------------------------------------------------------------------


class Volumes(Kin):
    """Conv3d over three frames that are the same image."""

    def setup(self):
        self.volume = nn.Conv3d(16, 16, (2, 3, 5), padding=(0, 1, 2))

    def middle(self, x):
        return self.volume(torch.stack([x, x + 1], 2)).mean(2)


class Signals(Kin):
    """Depthwise and dense windows along the rows, kernels of the network's own."""

    def setup(self):
        self.taps = nn.Parameter(torch.randn(16, 1, 5))
        self.mix = nn.Parameter(torch.randn(16, 16, 3))

    def middle(self, x):
        rows = F.conv1d(x.flatten(2), self.taps, padding=2, groups=x.shape[1])
        return F.conv1d(rows, self.mix, padding=1).reshape(len(x), -1, *x.shape[2:])


class Transposed(Kin):
    def setup(self):
        self.up = nn.ConvTranspose2d(16, 16, 4, 2, 1)
        self.up1d = nn.ConvTranspose1d(16, 16, 2, 2)

    def middle(self, x):
        return self.up(x) + self.up1d(x.mean(2))[:, :, None]


class DepthwiseTransposed(Kin):
    def setup(self):
        self.up = nn.ConvTranspose2d(16, 16, 4, 2, 1, groups=16)

    def middle(self, x):
        return self.up(x)


class SharedBlur(Kin):
    """One kernel for all channels, expanded to however many there are."""

    def setup(self):
        self.register_buffer("blur", torch.rand(1, 1, 3, 3))

    def middle(self, x):
        return F.conv2d(x, self.blur.expand(x.shape[1], -1, -1, -1), groups=x.shape[1])


class KernelOfConstants(Kin):
    def middle(self, x):
        return F.conv2d(x, torch.linspace(0, 1, 9 * 16).reshape(16, 1, 3, 3), groups=x.shape[1])


class GroupedFunctional(Kin):
    def setup(self):
        self.filters = nn.Parameter(torch.randn(16, 4, 3, 3))

    def middle(self, x):
        return F.conv2d(x, self.filters, padding=1, groups=4)


class GroupsAsAnAxis(Kin):
    def setup(self):
        self.filters = nn.Parameter(torch.randn(4, 4, 4, 3, 3))

    def middle(self, x):
        return F.conv2d(x, self.filters.flatten(0, 1), padding=1, groups=4)


class KernelTurned(Kin):
    """Inputs first, and the window before the channels."""

    def setup(self):
        self.filters = nn.Parameter(torch.randn(3, 5, 16, 16))

    def middle(self, x):
        return F.conv2d(x, self.filters.permute(3, 2, 0, 1), padding=(1, 2))


class StandardizedByRows(Kin):
    def setup(self):
        self.filters = nn.Parameter(torch.randn(16, 16, 3, 3))

    def middle(self, x):
        rows = self.filters.view(len(self.filters), -1)
        rows = (rows - rows.mean(1, keepdim=True)) / (rows.std(1, keepdim=True) + 1e-5)
        return F.conv2d(x, rows.view_as(self.filters), padding=1)


class OwnWeightNorm(Kin):
    def setup(self):
        self.gain = nn.Parameter(torch.rand(16, 1, 1, 1))
        self.filters = nn.Parameter(torch.randn(16, 16, 3, 3))

    def middle(self, x):
        norm = self.filters.flatten(1).norm(dim=1).reshape(-1, 1, 1, 1)
        return F.conv2d(x, self.gain * self.filters / norm, padding=1)


class UnitFilters(Kin):
    def setup(self):
        self.filters = nn.Parameter(torch.randn(16, 16))

    def middle(self, x):
        filters = F.normalize(self.filters, dim=1)
        return F.linear(x.movedim(1, 3), filters).movedim(3, 1)


class Einsum(Kin):
    def setup(self):
        self.table = nn.Parameter(torch.randn(16, 16))
        self.per_place = nn.Parameter(torch.randn(1, 1, 8, 8))
        self.per_channel = nn.Parameter(torch.randn(16, 1, 1))

    def middle(self, x):
        return torch.einsum("nchw,oc->nohw", x, self.table) * self.per_place + self.per_channel


class MaskedKernel(Kin):
    """Window axes of two tensors meet before either is used."""

    def setup(self):
        self.filters = nn.Parameter(torch.randn(16, 16, 3, 3))
        self.register_buffer("mask", torch.rand(3, 3))

    def middle(self, x):
        return F.conv2d(x, self.filters * self.mask, padding=1)


class LookedUp(Kin):
    def setup(self):
        self.table = nn.Parameter(torch.randn(5, 16))

    def middle(self, x):
        return x + self.table[torch.arange(5)].mean(0)[:, None, None]


class Unfolded(Kin):
    def setup(self):
        self.filters = nn.Parameter(torch.randn(16, 16, 3, 3))

    def middle(self, x):
        return (self.filters.flatten(1) @ F.unfold(x, 3, padding=1)).reshape(x.shape)


class GatesOfParameters(Kin):
    """Numbers that are no channels: one for each of three branches."""

    def setup(self):
        self.gates = nn.Parameter(torch.rand(3))
        self.sides = nn.ModuleList(nn.Conv2d(16, 16, 1) for _ in range(3))

    def middle(self, x):
        gates = self.gates.softmax(0)
        return sum(gate * side(x) for gate, side in zip(gates, self.sides, strict=True))


# Channels that go different ways ---------------------------------------------------------------


class Negated(Kin):
    def middle(self, x):
        a, b = x.chunk(2, 1)
        return torch.cat([a, -b], 1)


class Activations(Kin):
    def middle(self, x):
        a, b, c, d = x.chunk(4, 1)
        return torch.cat([a.relu(), b.sigmoid(), c, d.tanh()], 1)


class Pads(Kin):
    def middle(self, x):
        half = x.shape[1] // 2
        a, b = F.pad(x[:, :half], (2, 0, 0, 0)), F.pad(x[:, half:], (0, 2, 0, 0))
        return torch.cat([a, b], 1)


class EverySecond(Kin):
    def middle(self, x):
        return torch.cat([F.max_pool2d(x[:, ::2], 3, 1), F.avg_pool2d(x[:, 1::2], 3, 1)], 1)


class ShuffledPools(Kin):
    def middle(self, x):
        x = x.unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2)
        a, b = x.chunk(2, 1)
        return torch.cat([F.max_pool2d(b, 2), F.avg_pool2d(a, 2)], 1)


class StackedPools(Kin):
    def middle(self, x):
        a, b = x.chunk(2, 1)
        return torch.stack([F.max_pool2d(a, 2), F.avg_pool2d(b, 2)], 2).flatten(1, 2)


class ShiftInPlace(Kin):
    def middle(self, x):
        g, out = x.shape[1] // 4, torch.zeros_like(x)
        out[:, :g, 1:] = x[:, :g, :-1]
        out[:, g : 2 * g, :-1] = x[:, g : 2 * g, 1:]
        out[:, 2 * g :] = x[:, 2 * g :]
        return out


class FourWays(Kin):
    def middle(self, x):
        a, b, c, d = x.tensor_split(4, 1)
        return torch.cat([a.roll(1, 2), b.roll(1, 3), c.flip(2), d * 2], 1)


class Difference(Kin):
    out = 8

    def middle(self, x):
        a, b = x.chunk(2, 1)
        return a - b.relu()


class Maxout(Kin):
    out = 8

    def middle(self, x):
        return x.unflatten(1, (2, -1)).amax(1)


class Gated(Kin):
    out = 8

    def middle(self, x):
        return F.glu(x, 1) + x.chunk(2, 1)[0]


class RolledChannels(Kin):
    def middle(self, x):
        return x.roll(3, 1).flip(1)


class FixedSlice(Kin):
    def middle(self, x):
        return torch.cat([x[:, :3].sigmoid(), x[:, 3:]], 1)


class FirstChannelGates(Kin):
    def middle(self, x):
        return x * x[:, :1].sigmoid()


class InPlaceView(Kin):
    def middle(self, x):
        x = x.clone()
        x[:, : x.shape[1] // 2].mul_(-1).add_(1)
        return x


# Channels that are mixed without weights --------------------------------------------------------


class SpatialAttention(Kin):
    """CBAM (Woo et al. 2018): a convolution of the mean and the maximum over channels."""

    def setup(self):
        self.mix = nn.Conv2d(2, 1, 3, padding=1)

    def middle(self, x):
        return x * self.mix(torch.stack([x.mean(1), x.amax(1)], 1)).sigmoid()


class MeanGate(Kin):
    def middle(self, x):
        return x * x.mean(1, keepdim=True).sigmoid()


class OwnLayerNorm(Kin):
    def setup(self):
        self.scale, self.shift = (nn.Parameter(torch.rand(16, 1, 1)) for _ in range(2))

    def middle(self, x):
        mean = x.mean(1, keepdim=True)
        deviation = (x - mean).pow(2).mean(1, keepdim=True)
        return (x - mean) / torch.sqrt(deviation + 1e-5) * self.scale + self.shift


class ResponseNorm(Kin):
    """GRN (Woo et al. 2023)."""

    def setup(self):
        self.scale = nn.Parameter(torch.rand(16, 1, 1))

    def middle(self, x):
        norm = x.norm(p=2, dim=(2, 3), keepdim=True)
        return x + x * self.scale * (norm / (norm.mean(1, keepdim=True) + 1e-6))


class UnitLength(Kin):
    def middle(self, x):
        return F.normalize(x, dim=1)


class UnitLengthOfGates(Kin):
    """A sum in which channels that are left out would not be 0."""

    def middle(self, x):
        return F.normalize(x.sigmoid(), dim=1)


class SumOfGates(Kin):
    def middle(self, x):
        return x * (x.sigmoid().sum(1, keepdim=True) / 4)


class NormalizedByHand(Kin):
    """Softmax in its own operators."""

    def middle(self, x):
        y = x.exp()
        return y / y.sum(1, keepdim=True)


class SoftmaxOfChannels(Kin):
    def middle(self, x):
        return x.softmax(1)


class Neighbours(Kin):
    """ECA (Wang et al. 2020): a window over channels."""

    def setup(self):
        self.window = nn.Conv1d(1, 1, 3, padding=1, bias=False)

    def middle(self, x):
        return x * self.window(x.mean((2, 3))[:, None]).sigmoid().transpose(1, 2)[..., None]


class ResponseOfNeighbours(Kin):
    def middle(self, x):
        return F.local_response_norm(x, 3)


class LinearAttention(Kin):
    """elu + 1 of both factors: a sum over channels that are nowhere 0."""

    def setup(self):
        self.q, self.k, self.v = (nn.Linear(16, 16) for _ in range(3))

    def middle(self, x):
        t = x.flatten(2).transpose(1, 2)
        q, k = F.elu(self.q(t)) + 1, F.elu(self.k(t)) + 1
        return (q @ (k.transpose(1, 2) @ self.v(t))).transpose(1, 2).reshape(x.shape)


class ScaledAttention(Kin):
    """Scaled by the width of its queries, which is free."""

    def setup(self):
        self.q, self.k, self.v = (nn.Linear(16, 16) for _ in range(3))

    def middle(self, x):
        t = x.flatten(2).transpose(1, 2)
        y = F.scaled_dot_product_attention(self.q(t), self.k(t), self.v(t))
        return y.transpose(1, 2).unflatten(2, x.shape[2:])


class ScaledByHand(Kin):
    """The product is divided, where no channel is left to be seen."""

    def setup(self):
        self.q, self.k = nn.Linear(16, 16), nn.Linear(16, 16)

    def middle(self, x):
        t = x.flatten(2).transpose(1, 2)
        q, k = self.q(t), self.k(t)
        y = (q @ k.transpose(1, 2) / q.shape[-1] ** 0.5).softmax(-1) @ t
        return y.transpose(1, 2).unflatten(2, x.shape[2:])


class FreeHeads(Kin):
    """Two heads, of what width there is."""

    def setup(self):
        self.qkv, self.proj = nn.Linear(16, 48), nn.Linear(16, 16)

    def middle(self, x):
        t = x.flatten(2).transpose(1, 2)
        q, k, v = self.qkv(t).unflatten(2, (3, 2, -1)).permute(2, 0, 3, 1, 4)
        y = ((q @ k.transpose(2, 3)).softmax(-1) @ v).transpose(1, 2).flatten(2)
        return x + self.proj(y).transpose(1, 2).unflatten(2, x.shape[2:])


class ByWidth(Kin):
    def middle(self, x):
        return x / x.shape[1]


class SumByWidth(Kin):
    """A mean written as a sum."""

    def middle(self, x):
        return x - x.sum(1, keepdim=True) / x.shape[1]


class Norms(Kin):
    def setup(self):
        self.group, self.instance = nn.GroupNorm(4, 16), nn.InstanceNorm2d(16, affine=True)
        self.layer, self.plain = nn.LayerNorm(16), nn.BatchNorm2d(16, affine=False)
        self.slope, self.rms = nn.PReLU(16), nn.RMSNorm(16)

    def middle(self, x):
        x = self.plain(self.instance(self.group(x)))
        x = self.rms(self.layer(x.movedim(1, 3))).movedim(3, 1)
        return F.interpolate(self.slope(x), scale_factor=2, mode="bilinear")


class SqueezeExcite(Kin):
    def setup(self):
        self.down, self.up = nn.Conv2d(16, 8, 1), nn.Conv2d(8, 16, 1)

    def middle(self, x):
        return x * self.up(self.down(x.mean((2, 3), keepdim=True)).relu()).sigmoid()


class PixelShuffled(Kin):
    out = 4

    def middle(self, x):
        return F.pixel_shuffle(x, 2)


class Sampled(Kin):
    """An operator that nobody has explained."""

    def middle(self, x):
        grid = F.affine_grid(
            torch.eye(2, 3)[None].expand(len(x), 2, 3), list(x.shape), align_corners=False
        )
        return F.grid_sample(x, grid, align_corners=False)


class Recurrences(Kin):
    def setup(self):
        self.rows = nn.GRU(16, 16, batch_first=True)

    def middle(self, x):
        return x + self.rows(x.mean(2).transpose(1, 2))[0].transpose(1, 2)[:, :, None]


class VarMeanOfWeights(Kin):
    """A convolution that standardizes its weights, as in BiT."""

    def setup(self):
        self.inner = nn.Conv2d(16, 16, 3, padding=1)

    def middle(self, x):
        weight = self.inner.weight
        var, mean = torch.var_mean(weight, (1, 2, 3), keepdim=True, unbiased=False)
        return F.conv2d(x, (weight - mean) * torch.rsqrt(var + 1e-6), self.inner.bias, padding=1)


class BatchNormOfWeights(Kin):
    """The same by the norm of a batch, in groups, as in timm's NFNets."""

    def setup(self):
        self.inner = nn.Conv2d(16, 16, 3, padding=1, groups=2)
        self.gain = nn.Parameter(torch.rand(16) + 0.5)

    def middle(self, x):
        weight = self.inner.weight
        rows = weight.reshape(1, len(weight), -1)
        rows = F.batch_norm(rows, None, None, weight=self.gain, training=True, momentum=0.0)
        return F.conv2d(x, rows.reshape_as(weight), self.inner.bias, padding=1, groups=2)


KIN = {
    kind.__name__: kind
    for kind in list(globals().values())
    if isinstance(kind, type) and issubclass(kind, Kin) and kind is not Kin
}
