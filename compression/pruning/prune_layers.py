"""Layer pruning: whole units that keep the shape of the feature map are left out."""

from collections import Counter
from collections.abc import Mapping, Sequence
from math import ceil

from torch import nn

from compression.cost import macs_per_layer, network_cost
from compression.errors import CompressionError
from compression.layer_names import chosen
from compression.pruning.skipping import loss_increase
from compression.pruning.units import UnitStage, unit_stages
from compression.step import Context, Plan, Step
from compression.target import Target

CHOICES = ("first", "last", "importance")


class PruneLayers(Step):
    """Remove units such as residual blocks; a removed one becomes `nn.Identity`.

    How many go is said by `keep` or `remove`; without either, by `target`.

    Args:
        keep: units left in each stage that has removable ones, in order, those that must stay
            included: [2, 5, 2] for a ShuffleNet of [4, 8, 4].
        remove: name patterns of the units to remove.
        target: `{macs: 0.5}` or `{params: 0.5}` of the network entering the step.
        choose: with `keep` and `target`: the `first` or `last` units of a stage, or by
            `importance`: those without which the loss on validation images grows least.
        rounds: in how many rounds to get there.

    Raises:
        CompressionError: none of the three, or impossible settings.
    """

    name = "prune_layers"

    def __init__(
        self,
        *,
        keep: Sequence[int] | None = None,
        remove: Sequence[str] | None = None,
        target: Mapping[str, float | None] | None = None,
        choose: str = "last",
        rounds: int = 1,
    ) -> None:
        self.target = Target.of(target, "prune_layers.target")
        if keep is not None and remove is not None:
            raise CompressionError("prune_layers takes keep or remove, not both.")
        if keep is None and remove is None and self.target is None:
            raise CompressionError(
                "prune_layers wants keep (units left in each stage), remove (names of units) or "
                "target ({macs: 0.5})."
            )
        if choose not in CHOICES:
            raise CompressionError(
                f"prune_layers.choose is one of {', '.join(CHOICES)}, not {choose!r}."
            )
        if not isinstance(rounds, int) or rounds < 1:
            raise CompressionError(f"prune_layers.rounds is a number from 1, not {rounds!r}.")
        if keep is not None and not all(isinstance(n, int) and n >= 0 for n in keep):
            raise CompressionError(f"prune_layers.keep is a list of numbers, not {keep!r}.")
        self.keep = None if keep is None else list(keep)
        self.remove = None if remove is None else list(remove)
        self.choose, self.rounds = choose, rounds

    def plan(self, network: nn.Module, context: Context, round: int) -> Plan:
        """The names of the units to remove, the counts of each stage, and the losses measured.

        Raises:
            CompressionError: the network has no such units, or the target is out of reach.
        """
        stages = unit_stages(network, context.image_size)
        if not stages:
            raise CompressionError(
                "This network has no unit that prune_layers could remove: none of those it is "
                "stacked from keeps the shape of its input."
            )
        free = [name for stage in stages for name in stage.removable]
        losses = None
        if self.choose == "importance" and self.remove is None:
            losses = loss_increase(network, free, context)
        order = _order(stages, self.choose, losses)
        names = self._names(network, context, round, stages, order)
        if not names and round == self.rounds - 1 == 0:
            raise CompressionError("prune_layers would remove nothing; ask for fewer units.")
        left = [[len(s.units), len([n for n in s.units if n not in names])] for s in stages]
        how = "by name" if self.remove is not None else self.choose
        plan = {"removed": sorted(names, key=free.index), "stages": left, "choose": how}
        return plan if losses is None else {**plan, "loss_increase": losses}

    def _names(
        self,
        network: nn.Module,
        context: Context,
        round: int,
        stages: list[UnitStage],
        order: list[str],
    ) -> set[str]:
        """Those to remove in this round."""
        if self.keep is None and self.remove is None:
            costs = _unit_costs(network, context, order, self.target.measure)
            total = network_cost(network, self.target.measure, context.image_size)

            def count(knob: float) -> int:
                return round_half_up((1 - knob) * len(order))

            solution = self.target.solve(
                lambda knob: total - sum(costs[: count(knob)]),
                context.entry_cost,
                round=round,
                rounds=self.rounds,
            )
            return set(order[: count(solution.knob)])
        if self.remove is not None:
            wanted = self._by_name(network, order)
        else:
            wanted = _surplus(stages, order, self.keep)
        return set(wanted[: ceil(len(wanted) / (self.rounds - round))])

    def _by_name(self, network: nn.Module, free: list[str]) -> list[str]:
        gone = [n for n, m in network.named_modules() if isinstance(m, nn.Identity)]
        found = chosen([*free, *gone], self.remove, [])
        return [name for name in free if name in found]

    @staticmethod
    def restructure(network: nn.Module, plan: Plan) -> nn.Module:
        """Put an identity where each removed unit is.

        Raises:
            CompressionError: the plan was made for another architecture.
        """
        modules = dict(network.named_modules())
        for name in plan["removed"]:
            if not isinstance(modules.get(name), nn.Module) or not any(modules[name].children()):
                raise CompressionError(
                    f"The prune_layers plan was made for another architecture: there is no unit "
                    f"called {name!r}."
                )
            network.set_submodule(name, nn.Identity())
        return network

    @staticmethod
    def describe(plan: Plan) -> list[str]:
        """One line with the counts of the stages."""
        before, after = zip(*plan["stages"], strict=True)
        return [
            f"removed {len(plan['removed'])} of {sum(before)} units ({plan['choose']}): "
            f"{list(before)} -> {list(after)}"
        ]

    @staticmethod
    def describe_layers(plan: Plan) -> dict[str, str]:
        losses = plan.get("loss_increase", {})
        grew = {name: f"; the loss grew by {losses[name]:.4f} without it" for name in losses}
        return {name: f"removed ({plan['choose']}){grew.get(name, '')}" for name in plan["removed"]}


def round_half_up(value: float) -> int:
    return int(value + 0.5)


def _order(stages: list[UnitStage], choose: str, losses: dict[str, float] | None) -> list[str]:
    """All removable units, the first to go first.

    By position, the stage with most removable units left gives one up, the deeper one of equals.
    """
    if losses is not None:
        return sorted(losses, key=losses.get)
    queues = [list(s.removable if choose == "last" else reversed(s.removable)) for s in stages]
    order = []
    while any(queues):
        order.append(max(reversed(queues), key=len).pop())
    return order


def _surplus(stages: list[UnitStage], order: list[str], keep: list[int]) -> list[str]:
    """Those of `order` that have to go so that each stage keeps as many as wanted."""
    present = [len(stage.units) for stage in stages]
    if len(keep) != len(stages):
        raise CompressionError(
            f"prune_layers.keep has {len(keep)} numbers, but {len(stages)} stages of this network "
            f"have removable units: {present} units each."
        )
    surplus: Counter[int] = Counter()
    for number, (stage, left) in enumerate(zip(stages, keep, strict=True)):
        least = len(stage.units) - len(stage.removable)
        if not least <= left <= len(stage.units):
            raise CompressionError(
                f"prune_layers.keep asks for {left} units in stage {number + 1}, which can have "
                f"{least} to {len(stage.units)}: its first unit changes the shape of the feature "
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


def _unit_costs(
    network: nn.Module, context: Context, names: list[str], measure: str
) -> list[float]:
    if measure == "params":
        units = [network.get_submodule(name) for name in names]
        return [sum(p.numel() for p in unit.parameters()) for unit in units]
    layers = macs_per_layer(network, context.image_size)
    return [
        sum(macs for layer, macs in layers.items() if f"{layer}.".startswith(f"{name}."))
        for name in names
    ]
