"""One round of `Prune`: how many channels of each group stay, by scope, sensitivity or optimum."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from torch import nn

from compression.context import Context
from compression.errors import CompressionError
from compression.latency import entered_ms, plan_for_latency
from compression.pruning.allocation import (
    Ratios,
    choose_counts,
    global_ratios,
    sensitivity_ratios,
    uniform_ratios,
)
from compression.pruning.channel_budget import ChannelBudget
from compression.pruning.channel_counts import (
    ChannelCounts,
    Choice,
    group_treatments,
    plan_of_counts,
    solve_channel_counts,
)
from compression.pruning.cutting import cut_structure
from compression.pruning.isomorphism import group_structures
from compression.pruning.optimal_counts import WidthCosts, optimal_counts
from compression.pruning.prune_plan import PrunePlan
from compression.pruning.pruning_state import PruningState
from compression.pruning.settings import PruneSettings
from compression.pruning.treatment_plans import TreatmentPlans
from compression.pruning.width_times import ENDS, POINTS, WidthTimes
from compression.sensitivity import (
    LossCurves,
    SensitivityCurves,
    loss_ratios,
    scan,
    scan_losses,
)
from compression.step import Step, Treatment
from compression.target import RoundTarget, round_ratio


@dataclass(frozen=True)
class PruneRound:
    """What a round starts from.

    Attributes:
        step: is asked for what a scan needs of it.
        settings: of the step.
        state: of the network, without the groups that are no faster, where time decides.
        network: as it enters the round; stays as it is.
        context: of the round.
        number: of the round, from 0.
        times: of layers by their widths, where time decides.
    """

    step: Step
    settings: PruneSettings
    state: PruningState
    network: nn.Module
    context: Context
    number: int
    times: WidthTimes | None = None

    @classmethod
    def of(
        cls, step: Any, network: nn.Module, context: Context, number: int, *, timed: bool = False
    ) -> "PruneRound":
        """The round of a network.

        Args:
            step: `Prune`.
            network: stays as it is.
            context: of the round.
            number: from 0.
            timed: whether layers are measured, and left whole that are no faster.

        Raises:
            CompressionError: nothing can be cut, or nothing that is faster then; a pattern matches
                nothing, or the importance cannot be measured.
        """
        state = PruningState.of(network, context, number, step)
        if why := state.why_whole():
            raise CompressionError(f"prune {why}; nothing was changed.")
        found = cls(step, step, state, network, context, number)
        return found._timed() if timed else found

    def _timed(self) -> "PruneRound":
        """The same without groups that are no faster at their smallest size."""
        trial, settings = self.state.shape_trial, self.settings
        summed = settings.ratios == "optimal" and self._by_latency
        points = POINTS if summed else ENDS  # between the ends only where times are added up
        times = WidthTimes(trial.bare, trial.budget, trial.image_size, points=points)
        slow = times.slow_groups()
        state = self.state.leaving(slow)
        if not state.prunable and not self._by_latency and self.number == 0:
            number, why = next(iter(slow.items()))
            raise CompressionError(
                "prune.prefer=latency leaves all layers alone, as none is faster with fewer "
                f"channels ({trial.budget.names[number]}: {why}); choose prefer=macs or another "
                "step."
            )
        return replace(self, state=state, times=times)

    @property
    def _by_latency(self) -> bool:
        target = self.settings.target
        return target is not None and target.measure == "latency"

    def plan(self) -> PrunePlan:
        """What is taken out.

        Raises:
            CompressionError: the target is out of reach, or the sensitivity cannot be measured.
        """
        if self.settings.ratios == "optimal":
            return self._optimum()
        ratios = self._ratios()

        def plan_at(goal: RoundTarget | float) -> PrunePlan:
            """What follows from a target, or from a ratio of the channels."""
            choose = partial(choose_counts, goal, ratios)
            return self._planned(solve_channel_counts(self.state, choose))

        return self._reach(plan_at)

    def treatments(self, ratios: Sequence[float]) -> list[Treatment]:
        """Each group of layers cut alone, to the ratios of its channels."""
        refit, why = self.settings.refit, self._why("alone")
        plans = TreatmentPlans(self.state, self.network, self.context, refit=refit, why=why)
        return group_treatments(self.state, ratios, self.state.told_importance(), plans)

    def _optimum(self) -> PrunePlan:
        """The plan at the least sum of losses; of a latency by the times of layers."""
        treatments = self.treatments(loss_ratios(self.step.scan_ratios))
        curves = LossCurves(scan_losses(self.step, treatments, self.network, self.context))
        times = self.times if self._by_latency else None
        entered = None
        if times is not None:
            entered = ("latency", entered_ms(self.network, self.context, self.number))

        def costs_of(budget: ChannelBudget, goal: RoundTarget) -> WidthCosts:
            if times is None or entered is None:
                return WidthCosts(budget, *budget.price(goal.target.measure))
            return WidthCosts.entered(budget, times, entered[1])

        def plan_at(goal: RoundTarget) -> PrunePlan:
            def choose(budget: ChannelBudget) -> Choice:
                return optimal_counts(costs_of(budget, goal), curves, goal)

            counts = solve_channel_counts(self.state, choose)
            plan = self._planned(counts)
            if entered is not None:
                budget = self.state.shape_trial.budget
                plan["predicted_ms"] = costs_of(budget, goal).whole(counts.counts)
            return plan

        return self._reach(plan_at, entered)

    def _reach(
        self,
        plan_at: Callable[[Any], PrunePlan],  # a target, or a ratio of the channels
        entered: tuple[str, float] | None = None,
    ) -> PrunePlan:
        """The plan for what this round aims at."""
        settings, context = self.settings, self.context
        if settings.target is None:
            whole = settings.ratio or 1.0
            now, before = (
                round_ratio(whole, number, settings.rounds)
                for number in (self.number, self.number - 1)
            )
            return plan_at(now / before)
        goal = RoundTarget(settings.target, context.entry_cost, self.number, settings.rounds)
        if not self._by_latency:
            return plan_at(goal)
        plan = plan_for_latency(
            goal, plan_at, cut_structure, self.network, context, entered=entered
        )
        return {**plan, "why": self._why(plan.get("target", "untrained"))}

    def _planned(self, counts: ChannelCounts) -> PrunePlan:
        return plan_of_counts(self.state, counts, self._why(counts.report))

    def _why(self, report: str) -> str:
        settings = self.settings
        return f"{self.state.importance.name}, {settings.ratios or settings.scope}: {report}"

    def _ratios(self) -> Ratios:
        """How a setting of the parameter becomes ratios among the groups."""
        state, scope = self.state, self.settings.scope
        budget = state.shape_trial.budget
        if self.settings.ratios is not None:
            treatments = self.treatments(self.step.scan_ratios)
            found = scan(self.step, treatments, self.network, self.context)
            return sensitivity_ratios(budget, SensitivityCurves(found))
        if scope == "uniform":
            return uniform_ratios(budget)
        structures = None
        if scope == "isomorphic":
            structures = group_structures(state.channels, budget.groups, state.shape_trial.bare)
        return global_ratios(
            budget,
            state.channels,
            state.scores,
            normalize=state.importance.normalized,
            classes=structures,
        )
