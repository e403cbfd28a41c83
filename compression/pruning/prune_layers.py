"""Layer pruning: whole units that keep the shape of the feature map are left out."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import ceil
from typing import NotRequired, TypedDict

from torch import nn

from compression.context import Context
from compression.cost import network_cost
from compression.errors import CompressionError
from compression.latency import plan_for_latency
from compression.pruning.ablation import loss_increase
from compression.pruning.settings import PruneLayersSettings
from compression.pruning.units import (
    UnitStage,
    removal_order,
    surplus_units,
    unit_costs,
    unit_stages,
)
from compression.step import LayerSpace, Step, StructuralPlan, match_layers
from compression.target import RoundTarget, Target


class PruneLayersPlan(TypedDict):
    """The plan of `PruneLayers`.

    Attributes:
        removed: names of the units to remove, in the order of the network.
        stages: [units before, units after] of each stage with removable units.
        choose: how they were chosen, or `by name`.
        loss_increase: with `choose=importance`, how much the loss grows without each unit.
        target: what a target came to, in words.
        latency_ms: with a latency target, of the network before and after, in milliseconds.
    """

    removed: list[str]
    stages: list[list[int]]
    choose: str
    loss_increase: NotRequired[dict[str, float]]
    target: NotRequired[str]
    latency_ms: NotRequired[list[float]]


class PruneLayers(PruneLayersSettings, Step[PruneLayersPlan]):
    """Remove units such as residual blocks; a removed one becomes `nn.Identity`.

    How many go is said by one of `keep`, `remove` and `target`.

    Args:
        keep: units left in each stage that has removable ones, in order, those that must stay
            included: [2, 5, 2] for a ShuffleNet of [4, 8, 4].
        remove: name patterns of the units to remove.
        target: `{macs: 0.5}`, `{params: 0.5}`, `{file_bytes: 0.5}` or `{latency: 0.6}` (measured)
            of the network entering the step; `{macs: 0.7}` where none of the three is given.
        exclude: name patterns of units that are never removed.
        choose: with `keep` and `target`: the `first` or `last` units of a stage, or by
            `importance`: those without which the loss on validation images grows least.
        rounds: in how many rounds to get there.

    Raises:
        CompressionError: more than one of the three, or impossible settings.
    """

    def plan(self, network: nn.Module, context: Context, round: int) -> PruneLayersPlan:
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

        def plan_of(names: set[str]) -> PruneLayersPlan:
            left = [[len(s.units), len([n for n in s.units if n not in names])] for s in stages]
            plan: PruneLayersPlan = {
                "removed": sorted(names, key=free.index),
                "stages": left,
                "choose": how,
            }
            return plan if losses is None else {**plan, "loss_increase": losses}

        if self.target is None:
            plan = plan_of(self._named(network, round, stages, order))
        else:
            plan = self._reach(self.target, plan_of, network, context, round, order)
        if not plan["removed"] and round == self.rounds - 1 == 0:
            raise CompressionError("prune_layers would remove nothing; ask for fewer units.")
        return plan

    def structural_plan(
        self, network: nn.Module, context: Context, round: int
    ) -> StructuralPlan[PruneLayersPlan]:
        """How many units go, and which, unless their importance says so.

        Raises:
            CompressionError: as `plan`.
        """
        measured = self.choose == "importance" and self.remove is None
        blind = copy.copy(self)
        blind.choose = "last" if measured else self.choose
        plan = blind.plan(network, context, round)
        timed = self.target is not None and self.target.measure == "latency"
        return StructuralPlan(plan=plan, exact=not (measured or timed))

    def _reach(
        self,
        target: Target,
        plan_of: Callable[[set[str]], PruneLayersPlan],
        network: nn.Module,
        context: Context,
        round: int,
        order: list[str],
    ) -> PruneLayersPlan:
        """The plan that meets the target, from what becomes of the first units of `order`."""
        measured = target.measure == "latency"
        measure = "macs" if measured else target.measure
        costs = unit_costs(network, context.image_size, order, measure)
        total = network_cost(network, measure, context.image_size)

        def count(parameter: float) -> int:
            return round_half_up((1 - parameter) * len(order))

        def plan_at(aim: RoundTarget) -> PruneLayersPlan:
            found = aim.solve(lambda parameter: total - sum(costs[: count(parameter)]))
            return {**plan_of(set(order[: count(found.parameter)])), "target": aim.report(found)}

        goal = RoundTarget(target, context.entry_cost, round, self.rounds)
        if measured:
            return plan_for_latency(goal, plan_at, self.restructure, network, context)
        return plan_at(goal)

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
                f"prune_layers.exclude={list(self.exclude)} leaves no unit that could be removed."
            )
        return left

    def _by_name(self, network: nn.Module, free: list[str], patterns: Sequence[str]) -> list[str]:
        found = match_layers([*free, *_removed(network)], patterns, [])
        return [name for name in free if name in found]

    @staticmethod
    def restructure(network: nn.Module, plan: PruneLayersPlan) -> nn.Module:
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
    def describe(plan: PruneLayersPlan) -> list[str]:
        """The counts of the stages, and the cost if there was a target."""
        before, after = zip(*plan["stages"], strict=True)
        line = (
            f"removed {len(plan['removed'])} of {sum(before)} units ({plan['choose']}): "
            f"{list(before)} -> {list(after)}"
        )
        return [line, *([f"now at {plan['target']}"] if "target" in plan else [])]

    @staticmethod
    def describe_layers(plan: PruneLayersPlan) -> dict[str, str]:
        """How each removed unit was chosen, and what the loss said."""
        losses = plan.get("loss_increase", {})
        grew = {name: f"; the loss grew by {losses[name]:.4f} without it" for name in losses}
        return {name: f"removed ({plan['choose']}){grew.get(name, '')}" for name in plan["removed"]}

    def layer_space(self, network: nn.Module, image_size: int | Sequence[int]) -> LayerSpace | None:
        """How many units each stage keeps, from as many as must stay to all.

        Raises:
            CompressionError: an image size that the network cannot take, or nothing may go.
        """
        stages = self._spared(network, unit_stages(network, image_size))
        choices = {
            str(number): f"range({len(stage.units) - len(stage.removable)},{len(stage.units)})"
            for number, stage in enumerate(stages)
        }
        return LayerSpace(
            setting="keep",
            choices=choices,
            settings=lambda drawn: {"keep": [drawn[number] for number in choices], "target": None},
        )


def _removed(network: nn.Module) -> list[str]:
    """Names of the identities, some of which stand for units removed before."""
    return [n for n, m in network.named_modules() if isinstance(m, nn.Identity)]


def round_half_up(value: float) -> int:
    """The nearest whole number of a value from 0; the upper one of two."""
    return int(value + 0.5)
