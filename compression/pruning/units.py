"""The units that a network is stacked from, and which of them may be left out.

A unit may be left out where its input and output have the same shape. A network that knows better
has a method `units()`, which gives the names of its removable units.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeGuard

import torch
from torch import Tensor, nn

from compression.cost import forward_shapes, macs_per_layer, network_cost, runnable_copy
from compression.errors import CompressionError


@dataclass(frozen=True)
class UnitStage:
    """Units that follow each other at one size of the feature map.

    Attributes:
        units: names of all of them, in order, without those that were removed before.
        removable: names of those that keep the shape.
    """

    units: tuple[str, ...]
    removable: tuple[str, ...]


def unit_stages(network: nn.Module, image_size: int | Sequence[int]) -> list[UnitStage]:
    """The stages of a network that hold at least one removable unit, in order.

    Units are the composite children of sequential containers; a unit that changes the shape
    begins a stage. So ShuffleNet's [4, 8, 4] units are three stages with 3, 7 and 3 removable ones.

    Raises:
        CompressionError: the network cannot take images of that size.
    """
    keeping = _shape_keeping(network, image_size)
    stated = _stated(network)
    modules = dict(network.named_modules())
    stacks = _stacks(network, keeping) if stated is None else _parents(stated)
    stages = []
    for names in stacks:
        present = [name for name in names if not isinstance(modules[name], nn.Identity)]
        free = keeping if stated is None else {*stated}
        stages += _split(present, free)
    return [stage for stage in stages if stage.removable]


def removal_order(
    stages: list[UnitStage], choose: str, losses: dict[str, float] | None
) -> list[str]:
    """All removable units, the first to go first.

    By position, the stage with most removable units left gives one up, the deeper one of equals.
    """
    if losses is not None:
        return sorted(losses, key=lambda name: losses[name])
    queues = [list(s.removable if choose == "last" else reversed(s.removable)) for s in stages]
    order = []
    while any(queues):
        order.append(max(reversed(queues), key=len).pop())
    return order


def surplus_units(stages: list[UnitStage], order: list[str], keep: Sequence[int]) -> list[str]:
    """Those of `order` that have to go so that each stage keeps as many as wanted."""
    present = [len(stage.units) for stage in stages]
    if len(keep) != len(stages):
        raise CompressionError(
            f"prune_layers.keep has {len(keep)} numbers, but {len(stages)} stages of this network "
            f"have removable units: {present} units each."
        )
    surplus: Counter[int] = Counter()
    for number, (stage, left) in enumerate(zip(stages, keep, strict=True)):
        fewest = len(stage.units) - len(stage.removable)
        if not fewest <= left <= len(stage.units):
            raise CompressionError(
                f"prune_layers.keep asks for {left} units in stage {number + 1}, which can have "
                f"{fewest} to {len(stage.units)}: its first unit changes the shape of the feature "
                f"map, or there are no more."
            )
        surplus[number] = len(stage.units) - left
    home = {name: number for number, stage in enumerate(stages) for name in stage.removable}
    wanted = []
    for name in order:
        if surplus[home[name]]:
            surplus[home[name]] -= 1
            wanted.append(name)
    return wanted


def unit_costs(
    network: nn.Module, image_size: int | Sequence[int], names: list[str], measure: str
) -> list[float]:
    """`macs`, `params` or `file_bytes` of each of the named units.

    Raises:
        CompressionError: an image size that the network cannot take.
    """
    if measure != "macs":
        units = [network.get_submodule(name) for name in names]
        return [network_cost(unit, measure, image_size) for unit in units]
    layers = macs_per_layer(network, image_size)
    return [
        sum(macs for layer, macs in layers.items() if f"{layer}.".startswith(f"{name}."))
        for name in names
    ]


def _split(names: list[str], removable: set[str]) -> list[UnitStage]:
    runs: list[list[str]] = []
    for name in names:
        if not runs or name not in removable:
            runs.append([])
        runs[-1].append(name)
    return [UnitStage(tuple(run), tuple(n for n in run if n in removable)) for run in runs]


def _stacks(network: nn.Module, keeping: set[str]) -> list[list[str]]:
    """Names of the composite children of every sequential container that stacks units."""
    stacks = {
        name: [f"{name}.{child}".lstrip(".") for child, m in module.named_children() if _parts(m)]
        for name, module in network.named_modules()
        if _is_container(module)
    }
    modules = dict(network.named_modules())
    units = {n for names in stacks.values() for n in names if not _is_stage(modules[n])}
    blocks = {type(modules[n]) for n in units & keeping}
    found = []
    for name, names in stacks.items():
        # What lies inside a block is a part of it, even where the block itself must stay.
        inside = any(type(modules[above]) in blocks for above in _above(name))
        if names and not inside:
            found.append([n for n in names if n in units])
    return found


def _above(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:depth]) for depth in range(1, len(parts) + 1)] if name else []


def _parts(module: nn.Module) -> bool:
    """Whether a module is composite and holds weights; a removed unit counts as none."""
    return any(module.children()) and any(p.ndim > 1 for p in module.parameters())


def _is_container(module: nn.Module) -> TypeGuard[nn.Sequential]:
    """A sequence whose members with weights are composite themselves, not the layers of one."""
    if not isinstance(module, nn.Sequential):
        return False
    weighty = [child for child in module if next(child.parameters(), None) is not None]
    return bool(weighty) and all(any(child.children()) for child in weighty)


def _is_stage(module: nn.Module) -> bool:
    """A container, or a module around one whose members are all blocks of the same class."""
    inner = (m for m in module.modules() if m is not module and _is_container(m))
    kinds = ({type(child) for child in container if _parts(child)} for container in inner)
    alike = any(
        len(kind) == 1 and not issubclass(next(iter(kind)), nn.Sequential) for kind in kinds
    )
    return alike or _is_container(module)


def _stated(network: nn.Module) -> list[str] | None:
    """What the network itself, or a part of it, says of its removable units."""
    for name, module in network.named_modules():
        if callable(getattr(module, "units", None)):
            return [f"{name}.{unit}".lstrip(".") for unit in module.units()]
    return None


def _parents(names: list[str]) -> list[list[str]]:
    stacks: dict[str, list[str]] = {}
    for name in names:
        stacks.setdefault(name.rpartition(".")[0], []).append(name)
    return list(stacks.values())


def _shape_keeping(network: nn.Module, image_size: int | Sequence[int]) -> set[str]:
    """Names of the modules that map one tensor to one of the same shape, whenever called."""
    copy = runnable_copy(network, image_size)
    same: dict[str, bool] = {}
    names = {module: name for name, module in copy.named_modules()}

    def compare(module: nn.Module, inputs: tuple, output: object) -> None:
        alike = (
            len(inputs) == 1
            and isinstance(inputs[0], Tensor)
            and isinstance(output, Tensor)
            and inputs[0].shape == output.shape
        )
        name = names[module]
        same[name] = same.get(name, True) and alike

    for module in copy.modules():
        module.register_forward_hook(compare)
    with torch.no_grad():
        forward_shapes(copy, image_size)
    return {name for name, alike in same.items() if alike}
