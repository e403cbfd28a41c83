"""Channel pruning: whole channels are taken out of all layers that they run through.

The structure follows Fang et al. 2023, "DepGraph: Towards Any Structural Pruning": what depends on
each other is cut together. Here it is read off the labels of a forward pass (see `trace`), so that
reshapes, channel shuffle, chunks and concatenation are followed exactly.
"""

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar

from torch import Tensor, nn

from compression.errors import CompressionError
from compression.latency import entered_ms, plan_for_latency
from compression.pruning.allocation import (
    Ratios,
    choose_counts,
    global_ratios,
    sensitivity_ratios,
    uniform_ratios,
)
from compression.pruning.any_score import AnyScore
from compression.pruning.channel_budget import ChannelBudget
from compression.pruning.channel_counts import (
    ChannelCounts,
    Choice,
    group_treatments,
    plan_of_counts,
    solve_channel_counts,
)
from compression.pruning.cutting import cut_by_plan, cut_structure
from compression.pruning.folding import folded
from compression.pruning.importance import Importance
from compression.pruning.isomorphism import group_structures
from compression.pruning.optimal_counts import WidthCosts, optimal_counts
from compression.pruning.penalties import weighted
from compression.pruning.prune_plan import (
    PrunePlan,
    describe_plan,
    describe_plan_layers,
    require_cut,
)
from compression.pruning.pruning_state import PruningState
from compression.pruning.refit import refit, with_refit
from compression.pruning.settings import IMPORTANCES, PENALTIES, PruneSettings
from compression.pruning.width_times import WidthTimes
from compression.sensitivity import (
    LossCurves,
    SensitivityCurves,
    loss_ratios,
    scan,
    scan_losses,
)
from compression.step import Context, Step, StructuralPlan, Treatment
from compression.target import RoundTarget, round_ratio


class Prune(PruneSettings, Step[PrunePlan]):
    """Take out the least important channels, in whole numbers of `round_to`.

    The classifier's outputs and the image's channels stay, and no layer loses all of its channels.

    Args:
        target: `{macs: 0.5}`, `{params: 0.5}` or `{latency: 0.6}` (measured) of the network
            entering the step; `{macs: 0.6}` where neither it nor `ratio` is given.
        ratio: instead of it: ratio of its channels that every group of layers keeps, in (0, 1].
        importance: a name of `settings.IMPORTANCES`, `{_target_: ...}` of a class derived from
            `Importance`, or an object of one; `taylor` needs data; `auto`: `taylor` where there are
            labelled training images, else `l2`.
        scope: `global`: the least important channels of the whole network go; `uniform`: every
            group of layers loses the same ratio; `isomorphic`: the least important channels of all
            groups of the same structure go, the same ratio of each structure (see
            `group_structures`).
        ratios: `sensitivity` in the place of `scope`: every group of layers keeps what it needs to
            lose, alone, no more macro-F1 than one bound, which the target turns (see
            `sensitivity`). `optimal`: what the groups do to the logits on training images, each
            alone, sums up to the least. Each round begins with a scan, which needs images, for
            `sensitivity` labelled ones.
        rounds: in how many rounds to get there.
        round_to: numbers of channels are multiples of this; where a layer is narrower than four of
            them, of a half, a quarter... of it.
        min_ratio: of its channels that every group keeps at least.
        exclude: name patterns of layers whose outputs stay as they are.
        penalty: a name of `settings.PENALTIES`, `{_target_: ...}` of a function that makes a
            scalar of the network, or such a function; added to the loss before the first round
            (in the step's `prepare_epochs`) and between rounds, so that channels become
            dispensable.
        penalty_strength: factor on that penalty.
        refit: whether layers that lose inputs get weights by least squares, so that their outputs
            on training images are as near as possible to those before; `auto`: where there are such
            images, and only the layers that come nearer on others as well.

    Raises:
        CompressionError: a setting is out of range.
    """

    fit_settings: ClassVar[tuple[str, ...]] = ("refit",)

    importance: Importance  # what the setting names
    penalty: Any  # what the setting names, as the method of a step: see `Step.penalty`

    def __post_init__(self) -> None:
        """Finds the parts that settings name, before anything is trained."""
        super().__post_init__()
        self.importance = IMPORTANCES.part(self.importance, "{place}.importance")
        named = self.penalty
        found = None if named is None else PENALTIES.part(named, "{place}.penalty")
        self.penalty = partial(weighted, found, self.penalty_strength)

    def plan(self, network: nn.Module, context: Context, round: int) -> PrunePlan:
        """Which indices of which tensors survive, and why.

        Raises:
            CompressionError: nothing can be cut, the target is out of reach, a pattern matches
                nothing, or the importance or sensitivity cannot be measured, or a refit is asked
                for where there are no images.
        """
        plan = self._decided(network, context, round)
        self._require_cut(plan, round)
        return with_refit(plan, network, context, self.refit)

    def structural_plan(
        self, network: nn.Module, context: Context, round: int
    ) -> StructuralPlan[PrunePlan]:
        """Which groups of layers can be cut, and whether the target can be reached.

        Raises:
            CompressionError: nothing can be cut, the target is out of reach, or a pattern matches
                nothing.
        """
        blind = copy.copy(self)
        blind.importance, blind.ratios = AnyScore(self.importance), None
        blind.scope = "uniform"
        exact = self.scope == "uniform" and self.ratios is None
        try:
            plan = blind._decided(network, context, round)
        except CompressionError:
            if exact:
                raise
            # In other sizes it may work: what sizes a network takes is found by trying.
            blind.scope = "global"
            plan = blind._decided(network, context, round)
        if exact or self.target is not None or self.ratio == 1:
            self._require_cut(plan, round)
        return StructuralPlan(plan=plan, exact=exact)

    def _require_cut(self, plan: PrunePlan, round: int) -> None:
        if round == self.rounds - 1 == 0:
            require_cut(plan, self.round_to)

    def _decided(self, network: nn.Module, context: Context, round: int) -> PrunePlan:
        state = PruningState.of(network, context, round, self)
        if self.ratios == "optimal":
            return self._optimum(state, network, context, round)
        ratios = self._ratios(state, network, context)

        def plan_at(goal: RoundTarget | float) -> PrunePlan:
            """What follows from a target, or from a ratio of the channels."""
            choose = partial(choose_counts, goal, ratios)
            return self._planned(state, solve_channel_counts(state, choose))

        return self._reach(plan_at, state, network, context, round)

    def _optimum(
        self, state: PruningState, network: nn.Module, context: Context, round: int
    ) -> PrunePlan:
        """The plan at the least sum of losses; of a latency by the times of layers."""
        ratios = loss_ratios(self.scan_ratios)
        treatments = self._treatments(state, network, context, ratios)
        curves = LossCurves(scan_losses(self, treatments, network, context))
        times, entered = None, None
        if self.target.measure == "latency":
            trial = state.shape_trial
            times = WidthTimes(trial.bare, trial.budget, trial.image_size)
            state = state.leaving(times.slow_groups())
            entered = ("latency", entered_ms(network, context, round))

        def costs_of(budget: ChannelBudget, goal: RoundTarget) -> WidthCosts:
            if times is None or entered is None:
                return WidthCosts(budget, *budget.price(goal.target.measure))
            return WidthCosts.entered(budget, times, entered[1])

        def plan_at(goal: RoundTarget) -> PrunePlan:
            def choose(budget: ChannelBudget) -> Choice:
                return optimal_counts(costs_of(budget, goal), curves, goal)

            counts = solve_channel_counts(state, choose)
            plan = self._planned(state, counts)
            if entered is not None:
                budget = state.shape_trial.budget
                plan["predicted_ms"] = costs_of(budget, goal).whole(counts.counts)
            return plan

        return self._reach(plan_at, state, network, context, round, entered)

    def _reach(
        self,
        plan_at: Callable[[Any], PrunePlan],  # a target, or a ratio of the channels
        state: PruningState,
        network: nn.Module,
        context: Context,
        round: int,
        entered: tuple[str, float] | None = None,
    ) -> PrunePlan:
        """The plan for what this round aims at."""
        progress: dict[str, int] = {"round": round, "rounds": self.rounds}
        if self.target is None:
            whole = self.ratio or 1.0
            ratio = round_ratio(whole, round, self.rounds)
            return plan_at(ratio / round_ratio(whole, round - 1, self.rounds))
        if self.target.measure != "latency":
            return plan_at(RoundTarget(self.target, context.entry_cost, **progress))
        plan = plan_for_latency(
            self.target,
            plan_at,
            self.restructure,
            network,
            context,
            round=round,
            rounds=self.rounds,
            entered=entered,
        )
        return {**plan, "why": self._why(state, plan.get("target", "untrained"))}

    def treatments(
        self, network: nn.Module, context: Context, ratios: Sequence[float]
    ) -> list[Treatment]:
        """Each group of layers cut alone.

        Raises:
            CompressionError: nothing can be cut.
        """
        state = PruningState.of(network, context, 0, self)
        return self._treatments(state, network, context, ratios)

    def _treatments(
        self, state: PruningState, network: nn.Module, context: Context, ratios: Sequence[float]
    ) -> list[Treatment]:
        def plan_of(counts: ChannelCounts) -> PrunePlan:
            return with_refit(self._planned(state, counts), network, context, self.refit)

        return group_treatments(state, ratios, state.told_importance(), plan_of)

    def _planned(self, state: PruningState, counts: ChannelCounts) -> PrunePlan:
        return plan_of_counts(state, counts, self._why(state, counts.report))

    def _why(self, state: PruningState, report: str) -> str:
        return f"{state.importance.name}, {self.ratios or self.scope}: {report}"

    def _ratios(self, state: PruningState, network: nn.Module, context: Context) -> Ratios:
        """How a setting of the parameter becomes ratios among the groups."""
        budget = state.shape_trial.budget
        if self.ratios is not None:
            treatments = self._treatments(state, network, context, self.scan_ratios)
            return sensitivity_ratios(
                budget, SensitivityCurves(scan(self, treatments, network, context))
            )
        if self.scope == "uniform":
            return uniform_ratios(budget)
        channels, structures = state.channels, None
        if self.scope == "isomorphic":
            structures = group_structures(channels, budget.groups, state.shape_trial.bare)
        normalize = state.importance.normalized
        return global_ratios(
            budget, channels, state.scores, normalize=normalize, classes=structures
        )

    @staticmethod
    def restructure(network: nn.Module, plan: PrunePlan) -> nn.Module:
        """Put empty tensors of the smaller sizes in place.

        Raises:
            CompressionError: the plan was made for another architecture.
        """
        return cut_structure(network, plan)

    def transfer_weights(self, network: nn.Module, smaller: nn.Module, plan: PrunePlan) -> None:
        """Copy what survives of every tensor that was cut."""
        whole = folded(network)
        before = {**dict(whole.named_parameters()), **dict(whole.named_buffers())}
        after = {**dict(smaller.named_parameters()), **dict(smaller.named_buffers())}
        for name in plan["axes"]:
            after[name].copy_(cut_by_plan(before[name], name, plan))

    def fit_weights(
        self, network: nn.Module, smaller: nn.Module, plan: PrunePlan, context: Context
    ) -> None:
        """Refit the layers that the plan names to the outputs that they had."""
        refit(network, smaller, plan, context)

    def prune_optimizer_state(self, plan: PrunePlan, name: str, value: Tensor) -> Tensor | None:
        """What survives of a tensor of the shape of parameter `name`, such as a moment of it."""
        return cut_by_plan(value, name, plan) if name in plan["axes"] else value

    @staticmethod
    def describe(plan: PrunePlan) -> list[str]:
        """How many channels are left in all, then what was left alone and why."""
        return describe_plan(plan)

    @staticmethod
    def describe_layers(plan: PrunePlan) -> dict[str, str]:
        """Channels kept of each layer, and why others were left alone."""
        return describe_plan_layers(plan)
