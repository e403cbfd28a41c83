"""Layer pruning: whole units that keep the shape of the feature map are left out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import ceil

from torch import nn

from compression.cost import network_cost
from compression.errors import CompressionError
from compression.latency import plan_for_latency
from compression.pruning.ablation import loss_increase
from compression.pruning.units import (
    UnitStage,
    removal_order,
    surplus_units,
    unit_costs,
    unit_stages,
)
from compression.schema import require_choice, require_count
from compression.step import Context, Plan, Step, match_layers
from compression.target import RoundTarget, Target

CHOICES = ("first", "last", "importance")
DEFAULT_TARGET = {"macs": 0.7}


class PruneLayers(Step):
    """Remove units such as residual blocks; a removed one becomes `nn.Identity`.

    How many go is said by one of `keep`, `remove` and `target`.

    Args:
        keep: units left in each stage that has removable ones, in order, those that must stay
            included: [2, 5, 2] for a ShuffleNet of [4, 8, 4].
        remove: name patterns of the units to remove.
        target: `{macs: 0.5}`, `{params: 0.5}` or `{latency: 0.6}` (measured) of the network
            entering the step; `{macs: 0.7}` where none of the three is given.
        exclude: name patterns of units that are never removed.
        choose: with `keep` and `target`: the `first` or `last` units of a stage, or by
            `importance`: those without which the loss on validation images grows least.
        rounds: in how many rounds to get there.

    Raises:
        CompressionError: more than one of the three, or impossible settings.
    """

    name = "prune_layers"

    def __init__(
        self,
        *,
        keep: Sequence[int] | None = None,
        remove: Sequence[str] | None = None,
        target: Mapping[str, float | None] | None = None,
        exclude: Sequence[str] = (),
        choose: str = "last",
        rounds: int = 1,
    ) -> None:
        self.target = Target.of(target, "prune_layers.target")
        ways = {"keep": keep, "remove": remove, "target": self.target}
        given = [name for name, value in ways.items() if value is not None]
        if len(given) > 1:
            raise CompressionError(
                f"prune_layers takes keep, remove or target, but was given {' and '.join(given)}."
            )
        if not given:
            self.target = Target.of(DEFAULT_TARGET)
        require_choice("prune_layers.choose", choose, CHOICES)
        require_count("prune_layers.rounds", rounds)
        if keep is not None and not all(isinstance(n, int) and n >= 0 for n in keep):
            raise CompressionError(f"prune_layers.keep is a list of numbers, not {keep!r}.")
        self.keep = None if keep is None else list(keep)
        self.remove = None if remove is None else list(remove)
        self.exclude = list(exclude)
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
        stages = self._spared(network, stages)
        free = [name for stage in stages for name in stage.removable]
        losses = None
        if self.choose == "importance" and self.remove is None:
            losses = loss_increase(network, free, context)
        order = removal_order(stages, self.choose, losses)
        how = "by name" if self.remove is not None else self.choose
        facts = {"choose": how} if losses is None else {"choose": how, "loss_increase": losses}

        def plan_of(names: set[str]) -> Plan:
            left = [[len(s.units), len([n for n in s.units if n not in names])] for s in stages]
            return {"removed": sorted(names, key=free.index), "stages": left, **facts}

        if self.target is None:
            plan = plan_of(self._named(network, round, stages, order))
        else:
            plan = self._reach(self.target, plan_of, network, context, round, order)
        if not plan["removed"] and round == self.rounds - 1 == 0:
            raise CompressionError("prune_layers would remove nothing; ask for fewer units.")
        return plan

    def _reach(
        self,
        target: Target,
        plan_of: Callable[[set[str]], Plan],
        network: nn.Module,
        context: Context,
        round: int,
        order: list[str],
    ) -> Plan:
        """The plan that meets the target, from what becomes of the first units of `order`."""
        progress: dict[str, int] = {"round": round, "rounds": self.rounds}
        measured = target.measure == "latency"
        measure = "macs" if measured else target.measure
        costs = unit_costs(network, context.image_size, order, measure)
        total = network_cost(network, measure, context.image_size)

        def count(parameter: float) -> int:
            return round_half_up((1 - parameter) * len(order))

        def plan_at(goal: RoundTarget) -> Plan:
            found = goal.solve(lambda parameter: total - sum(costs[: count(parameter)]))
            return {**plan_of(set(order[: count(found.parameter)])), "target": goal.report(found)}

        if measured:
            return plan_for_latency(target, plan_at, self.restructure, network, context, **progress)
        return plan_at(RoundTarget(target, context.entry_cost, **progress))

    def _named(
        self, network: nn.Module, round: int, stages: list[UnitStage], order: list[str]
    ) -> set[str]:
        """Those to remove in this round of what `keep` or `remove` says."""
        if self.remove is not None:
            wanted = self._by_name(network, order, self.remove)
        else:
            wanted = surplus_units(stages, order, self.keep or [])
        return set(wanted[: ceil(len(wanted) / (self.rounds - round))])

    def _spared(self, network: nn.Module, stages: list[UnitStage]) -> list[UnitStage]:
        """The stages without the excluded units among those that may go.

        Raises:
            CompressionError: a pattern matches no unit, or none may go.
        """
        if not self.exclude:
            return stages
        units = [name for stage in stages for name in stage.units]
        spared = match_layers([*units, *_removed(network)], self.exclude, [])
        left = [
            replace(stage, removable=tuple(n for n in stage.removable if n not in spared))
            for stage in stages
        ]
        if not any(stage.removable for stage in left):
            raise CompressionError(
                f"prune_layers.exclude={self.exclude} leaves no unit that could be removed."
            )
        return left

    def _by_name(self, network: nn.Module, free: list[str], patterns: list[str]) -> list[str]:
        found = match_layers([*free, *_removed(network)], patterns, [])
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
        """The counts of the stages, and the cost if there was a target."""
        before, after = zip(*plan["stages"], strict=True)
        line = (
            f"removed {len(plan['removed'])} of {sum(before)} units ({plan['choose']}): "
            f"{list(before)} -> {list(after)}"
        )
        return [line, *([f"now at {plan['target']}"] if "target" in plan else [])]

    @staticmethod
    def describe_layers(plan: Plan) -> dict[str, str]:
        """How each removed unit was chosen, and what the loss said."""
        losses = plan.get("loss_increase", {})
        grew = {name: f"; the loss grew by {losses[name]:.4f} without it" for name in losses}
        return {name: f"removed ({plan['choose']}){grew.get(name, '')}" for name in plan["removed"]}


def _removed(network: nn.Module) -> list[str]:
    """Names of the identities, some of which stand for units removed before."""
    return [n for n, m in network.named_modules() if isinstance(m, nn.Identity)]


def round_half_up(value: float) -> int:
    """The nearest whole number of a value from 0; the upper one of two."""
    return int(value + 0.5)
