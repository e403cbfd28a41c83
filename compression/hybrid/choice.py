"""What is chosen for each group of channels and each layer, and what it costs then."""

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from compression.allocation import Option, meet_goal
from compression.context import Context
from compression.cost import saved_bytes
from compression.cost.geometry import factors_of
from compression.factorization import Factorization
from compression.factorization.candidate import Candidate
from compression.factorization.layer_timer import LayerTimer
from compression.factorization.optimal_ranks import OptimalRanks
from compression.hybrid.hybrid_costs import HybridCosts, Rank, product_cost
from compression.pruning.channel_budget import ChannelBudget
from compression.pruning.channel_counts import (
    ChannelCounts,
    Choice,
    group_treatments,
    solve_channel_counts,
)
from compression.pruning.optimal_counts import Price, count_losses
from compression.pruning.prune import Prune
from compression.pruning.pruning_state import PruningState
from compression.pruning.treatment_plans import TreatmentPlans
from compression.pruning.width_times import WidthTimes
from compression.sensitivity import LossCurves, LossPoint, loss_ratios
from compression.step import Step, Treatment
from compression.target import RoundTarget


class HybridChoice:
    """Chooses for a network by what each treatment loses.

    Args:
        state: of the network.
        curves: of the losses of groups of channels.
        rules: what chooses ranks, by the layers that may be factorised.

    Attributes:
        state: without the groups that are no faster, where time decides.
    """

    def __init__(
        self,
        state: PruningState,
        curves: LossCurves,
        rules: Sequence[tuple[Candidate, OptimalRanks]],
    ) -> None:
        self.state, self._curves, self._rules = state, curves, rules
        self._timer: LayerTimer | None = None
        self._times: WidthTimes | None = None

    @classmethod
    def of(
        cls,
        pruning: Prune,
        factorizations: Mapping[str, Factorization],
        state: PruningState,
        network: nn.Module,
        context: Context,
        losses: Callable[[Step, Sequence[Treatment]], Sequence[LossPoint]],
    ) -> "HybridChoice":
        """The choice for a network.

        Args:
            pruning: which prunes.
            factorizations: which factorise, each other layers.
            state: of the network.
            network: stays as it is.
            context: of the round.
            losses: what treatments of a step lose: by a scan, or drawn.
        """
        plans = TreatmentPlans(state, network, context, refit=pruning.refit, why="alone")
        ratios, told = loss_ratios(pruning.scan_ratios), state.told_importance()
        curves = LossCurves(losses(pruning, group_treatments(state, ratios, told, plans)))
        rules: list[tuple[Candidate, OptimalRanks]] = []
        for step in factorizations.values():
            treatments = step.treatments(network, context, loss_ratios(step.scan_ratios))
            rule = OptimalRanks(LossCurves(losses(step, treatments)))
            rules += [
                (candidate, rule)
                for candidate in step.candidates(network, context.image_size)[0]
                if candidate.not_factorized
                and not any(fnmatchcase(candidate.name, pattern) for pattern in pruning.exclude)
            ]
        return cls(state, curves, rules)

    @property
    def factorizes(self) -> bool:
        """Whether any layer may be factorised."""
        return bool(self._rules)

    def by_time(self) -> None:
        """Measure layers; what is no faster is left as it is."""
        trial = self.state.shape_trial
        self._times = WidthTimes(trial.bare, trial.budget, trial.image_size)
        self._timer = LayerTimer()
        self.state = self.state.leaving(self._times.slow_groups())

    def at(self, goal: RoundTarget, now: float) -> tuple[ChannelCounts, dict[str, Rank], float]:
        """Channels of the groups, ranks of layers, and the cost by arithmetic, for a goal.

        Args:
            goal: of the network.
            now: what it costs as it is.

        Raises:
            UnreachableTargetError: even the cheapest options cost more.
        """
        measure = goal.target.measure
        options = {
            candidate.name: rule.options(candidate, measure, self._timer)[0]
            for candidate, rule in self._rules
        }
        ranks: list[dict[Any, float]] = [
            {tuple(o.treatment or ()): o.loss for o in own} for own in options.values()
        ]
        last: dict[str, Any] = {}

        def choose(budget: ChannelBudget) -> Choice:
            costs = self._costs(budget, measure, options, now)
            losses: list[dict[Any, float]] = [*count_losses(budget, self._curves), *ranks]
            choice, report = meet_goal(losses, costs, goal)
            last.update(choice=choice, cost=costs.whole(choice))
            return {n: choice[n] for n in range(len(budget.groups))}, report

        counts = solve_channel_counts(self.state, choose)
        first = len(counts.counts)
        chosen = {name: last["choice"][first + n] for n, name in enumerate(options)}
        return counts, {name: rank for name, rank in chosen.items() if rank}, last["cost"]

    def _costs(
        self,
        budget: ChannelBudget,
        measure: str,
        options: Mapping[str, Sequence[Option]],
        now: float,
    ) -> HybridCosts:
        candidates = [candidate for candidate, _ in self._rules]
        times = self._times
        if times is None:
            price = partial(_price, budget.price(measure)[0], budget, candidates, measure)
            return HybridCosts(
                budget, candidates, price, partial(product_cost, measure=measure), now
            )
        whole = {f"{name}.weight": own[0].cost for name, own in options.items()}

        def milliseconds(name: str, shape: torch.Size) -> float:
            return times(name, shape) if name in times else whole.get(name, 0.0)

        def faster(candidate: Candidate, rank: Rank, shape: torch.Size) -> float:
            # By as much as at the layer's whole width.
            before, *others = options[candidate.name]
            after = next(o.cost for o in others if tuple(o.treatment) == rank)
            return milliseconds(f"{candidate.name}.weight", shape) * after / before.cost

        return HybridCosts(budget, candidates, milliseconds, faster, now)


def _price(
    price: Price,
    budget: ChannelBudget,
    candidates: Sequence[Candidate],
    measure: str,
    name: str,
    shape: torch.Size,
) -> float:
    """Of a layer's weight; one whose widths no group decides keeps its shape."""
    if name in budget.tensors:
        return price(name, shape)
    candidate = next(c for c in candidates if f"{c.name}.weight" == name)
    if measure == "macs":
        return candidate.cost["macs"]
    weight = factors_of(candidate.layer)[0].weight
    return shape.numel() if measure == "params" else saved_bytes(weight)


def drawn_losses(seed: int, step: Step, treatments: Sequence[Treatment]) -> list[LossPoint]:
    """Losses that treatments may turn out to have, where there are no values to scan.

    Args:
        seed: 0: all layers lose alike; any other: by chance.
        step: that they are of.
        treatments: of it.
    """
    generator = np.random.default_rng(seed)
    drawn = {treatment.layer: generator.random() if seed else 1.0 for treatment in treatments}
    return [
        LossPoint(
            layer=own.layer,
            ratio=own.ratio,
            kept=own.kept,
            what=own.what,
            loss=drawn[own.layer] * (1 - own.kept) ** 2,
        )
        for own in treatments
    ]
