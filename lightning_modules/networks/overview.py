"""A network as a table: one row for each of its blocks, with what it costs."""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from compression.cost import Profile, count_params
from lightning_modules.networks.blocks.rows import Row as BlockRow

WIDTH = 44  # characters of a block's arguments
PLAIN = (nn.Sequential, nn.ModuleList, nn.ModuleDict)  # containers: their children are the blocks


@dataclass(frozen=True, kw_only=True)
class Row:
    """One block.

    Attributes:
        name: of the module.
        kind: its class, or the kind of the row that it was built from.
        arguments: in words; of a block without any, the convolutions inside.
        shape: of its output for one image; None where it gives no single tensor.
        params: parameters.
        macs: multiply-accumulates.
    """

    name: str
    kind: str
    arguments: str
    shape: tuple[int, ...] | None
    params: int
    macs: int


def overview(
    network: nn.Module, profile: Profile, *, convention: str = "standard", layers: bool = False
) -> list[Row]:
    """The rows of a network, in the order of being called; params and MACs add up to its totals.

    Args:
        network: the one that was profiled.
        profile: of one image.
        convention: of counting MACs, see `compression.cost.macs`.
        layers: a row for each layer instead of each block.
    """
    own = profile.macs[convention]
    most = -1 if layers else sum(own.values()) / 2
    blocks = dict(_blocks("", network, own, most))
    order = {name: place for place, name in enumerate(profile.shapes)}
    rows = [
        _row(name, blocks[name], profile, _below(name, own))
        for name in sorted(blocks, key=lambda name: order.get(name, len(order)))
        if name in order or count_params(blocks[name])
    ]
    # What a module does between its blocks, such as the attention of a whole transformer.
    params = count_params(network) - sum(row.params for row in rows)
    macs = sum(own.values()) - sum(row.macs for row in rows)
    if params or macs:
        rest = Row(
            name="(rest)",
            kind="",
            arguments="outside the blocks above",
            shape=None,
            params=params,
            macs=macs,
        )
        rows.append(rest)
    return rows


def _blocks(
    prefix: str, module: nn.Module, own: dict[str, int], most: float
) -> Iterator[tuple[str, nn.Module]]:
    """The modules that get a row.

    Opened are plain containers, and what does more than `most` MACs, such as a whole encoder.
    """
    for name, child in module.named_children():
        path = f"{prefix}{name}"
        opened = type(child) in PLAIN or path == "body" or _below(path, own) > most
        if opened and list(child.children()) and not hasattr(child, "row"):
            yield from _blocks(f"{path}.", child, own, most)
        elif not isinstance(child, nn.Identity):
            yield path, child


def _row(name: str, module: nn.Module, profile: Profile, macs: int) -> Row:
    written = getattr(module, "row", None)  # a block of the block language
    shape = profile.shapes.get(name)
    return Row(
        name=name.removeprefix("body."),
        kind=type(module).__name__ if written is None else written.block_type.name,
        arguments=_arguments(module) if written is None else _written(written),
        shape=None if shape is None else tuple(shape[1:]),
        params=count_params(module),
        macs=macs,
    )


def _below(name: str, own: dict[str, int]) -> int:
    return sum(macs for key, macs in own.items() if key == name or key.startswith(f"{name}."))


def _written(row: BlockRow) -> str:
    values = ", ".join(f"{key}={value}" for key, value in row.arguments.items())
    return f"{row.repeat} x {values}" if row.repeat > 1 else values


def _arguments(module: nn.Module) -> str:
    if isinstance(module, nn.Conv2d):
        return f"{module.in_channels} -> {module.out_channels}, {_convolution(module)}"
    text = " ".join(module.extra_repr().split())
    if not text:
        convolutions = [_convolution(m) for m in module.modules() if isinstance(m, nn.Conv2d)]
        text = ", ".join(convolutions)
    return text if len(text) <= WIDTH else text[: WIDTH - 3] + "..."


def _convolution(conv: nn.Conv2d) -> str:
    """Such as `3x3/2` for stride 2, `1x1 g3` for three groups, `3x3 dw` for a depthwise one."""
    size = "x".join(map(str, conv.kernel_size))
    stride = f"/{conv.stride[0]}" if conv.stride[0] > 1 else ""
    if conv.groups == 1:
        return f"{size}{stride}"
    depthwise = conv.groups == conv.in_channels
    return f"{size}{stride} dw" if depthwise else f"{size}{stride} g{conv.groups}"
