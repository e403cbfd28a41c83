"""RobNet (Guo et al. 2020, "When NAS Meets Robustness", arXiv 1911.10695).

A stack of cells for small images. A cell has two inputs (the two cells before it) and four nodes;
each node adds up one edge from every input and every earlier node, and the nodes are the output.
An edge is a separable convolution, a skip, both, or nothing; in RobNet-free every cell has its own.
"""

import re
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from lightning_modules.errors import ConfigError

NODES = 4
EDGES = sum(2 + node for node in range(NODES))


class ConvNorm(nn.Sequential):
    """ReLU, convolutions, BatchNorm without weights, as the search had it."""

    def __init__(self, *convs: nn.Conv2d) -> None:
        norm = nn.BatchNorm2d(convs[-1].out_channels, affine=False)
        super().__init__(nn.ReLU(), *convs, norm)


def pointwise(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    """1x1 convolution without bias."""
    return nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)


def depthwise(channels: int, stride: int = 1) -> nn.Conv2d:
    """Depthwise 3x3 convolution without bias."""
    return nn.Conv2d(channels, channels, 3, stride, 1, groups=channels, bias=False)


class Halving(nn.Module):
    """Half of the channels from the even pixels, half from the odd ones; H/2 x W/2, rounded up."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.relu = nn.ReLU()
        self.even = pointwise(in_channels, out_channels // 2, 2)
        self.odd = pointwise(in_channels, out_channels // 2, 2)
        self.norm = nn.BatchNorm2d(out_channels, affine=False)

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W -> N x `out_channels` x H/2 x W/2."""
        x = self.relu(x)
        odd = self.odd(pad(x[:, :, 1:, 1:], (0, 1, 0, 1)))  # padded: sides may be odd
        return self.norm(torch.cat((self.even(x), odd), dim=1))


class Edge(nn.Module):
    """Convolution, skip or their sum: `code` 1, 2 or 3."""

    def __init__(self, channels: int, *, stride: int, code: int) -> None:
        super().__init__()
        self.conv: nn.Module | None = None
        self.skip: nn.Module | None = None
        if code & 1:
            self.conv = nn.Sequential(
                ConvNorm(depthwise(channels, stride), pointwise(channels, channels)),
                ConvNorm(depthwise(channels), pointwise(channels, channels)),
            )
        if code & 2:
            self.skip = nn.Identity() if stride == 1 else Halving(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W -> the same, or N x C x H/2 x W/2."""
        made = [branch(x) for branch in (self.conv, self.skip) if branch is not None]
        return made[0] if len(made) == 1 else made[0] + made[1]


class Cell(nn.Module):
    """Outputs of the last two cells -> N x 4 `channels` x H x W, or H/2 x W/2.

    Args:
        in_channels: of the cell before the last one, and of the last one.
        channels: of each node.
        halves: whether this cell halves the map.
        halved: whether the last one did, so that the one before is twice as large.
        edges: `EDGES` digits, node by node.
    """

    def __init__(
        self, in_channels: tuple[int, int], channels: int, *, halves: bool, halved: bool, edges: str
    ) -> None:
        super().__init__()
        older, last = in_channels
        self.older = Halving(older, channels) if halved else ConvNorm(pointwise(older, channels))
        self.last = ConvNorm(pointwise(last, channels))
        self.nodes = nn.ModuleList()
        codes = iter(map(int, edges))
        for node in range(NODES):
            arriving = nn.ModuleDict()
            for source in range(2 + node):
                code, stride = next(codes), 2 if halves and source < 2 else 1
                if code:
                    arriving[str(source)] = Edge(channels, stride=stride, code=code)
            self.nodes.append(arriving)

    def forward(self, older: Tensor, last: Tensor) -> Tensor:
        """The last map but one and the last one -> the next one."""
        states = [self.older(older), self.last(last)]
        for arriving in cast("list[nn.ModuleDict]", self.nodes):
            states.append(sum(edge(states[int(source)]) for source, edge in arriving.items()))
        return torch.cat(states[2:], dim=1)


class RobNet(nn.Module):
    """Normalised N x 3 x H x W -> logits N x `num_classes`; the last map is H/4 x W/4.

    Args:
        num_classes: outputs of the head.
        channels: of each node of the first cells; doubled after a third and two thirds of them.
        cells: for every cell 14 digits, one for each edge: 0 nothing, 1 convolution, 2 skip,
            3 both. The first two are the edges to the first node, the next three to the second.

    Raises:
        ConfigError: one of these is impossible.
    """

    def __init__(self, *, num_classes: int, cells: Sequence[str], channels: int = 36) -> None:
        super().__init__()
        if not isinstance(channels, int) or channels < 2 or channels % 2:
            raise ConfigError(f"model.channels is an even number of at least 2, not {channels!r}.")
        _check(cells)
        stem = 3 * channels
        self.stem = nn.Sequential(
            nn.Conv2d(3, stem, 3, padding=1, bias=False), nn.BatchNorm2d(stem)
        )
        self.cells = nn.ModuleList()
        previous, halved = (stem, stem), False
        for number, edges in enumerate(cells):
            halves = number in (len(cells) // 3, 2 * len(cells) // 3)
            channels = channels * 2 if halves else channels
            self.cells.append(Cell(previous, channels, halves=halves, halved=halved, edges=edges))
            previous, halved = (previous[1], NODES * channels), halves
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(previous[1], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Normalised N x 3 x H x W -> logits N x classes."""
        older = last = self.stem(x)  # N x 3 `channels` x H x W
        for cell in self.cells:
            older, last = last, cell(older, last)
        return self.classifier(self.pool(last).flatten(1))  # N x classes


def _check(cells: Sequence[str]) -> None:
    if isinstance(cells, str) or len(cells) < 3:
        raise ConfigError("model.cells is a list of at least three cells.")
    for number, edges in enumerate(cells, start=1):
        if not re.fullmatch(f"[0-3]{{{EDGES}}}", str(edges)):
            raise ConfigError(
                f"model.cells: cell {number} is {EDGES} digits from 0 to 3 in quotes, not {edges}."
            )
        if re.search("^00|^..000|^.{5}0000|00000$", edges):
            raise ConfigError(f"model.cells: cell {number} ({edges}) has a node without any edge.")
