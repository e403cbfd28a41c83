"""A step that chooses for each layer between pruning, SVD, Tucker and nothing, under one budget.

Li et al. 2021, "Towards Compact CNNs via Collaborative Compression", likewise weigh channels
against ranks. Here the weight is what each treatment alone does to the logits on training images,
and the budget is shared out by optimisation (see `allocation`).
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from torch import Tensor, nn

from compression.context import Context
from compression.cost import network_cost
from compression.errors import CompressionError
from compression.factorization import SVD, Factorization, Tucker
from compression.factorization.rank_selection import select_ranks
from compression.hybrid.choice import HybridChoice, drawn_losses
from compression.hybrid.chosen_ranks import ChosenRanks
from compression.hybrid.fitted_parts import fitted, following
from compression.hybrid.hybrid_costs import Rank
from compression.hybrid.plan import HybridPlan, hybrid_layer_lines, hybrid_lines
from compression.hybrid.settings import HybridSettings
from compression.latency import entered_ms, plan_for_latency
from compression.network_copy import copy_network
from compression.pruning.any_score import AnyScore
from compression.pruning.channel_counts import ChannelCounts, plan_of_counts
from compression.pruning.prune import Prune
from compression.pruning.pruning_state import PruningState
from compression.sensitivity import LossPoint, scan_losses
from compression.step import Step, StructuralPlan, Treatment
from compression.target import RoundTarget, Target


class Hybrid(HybridSettings, Step[HybridPlan]):
    """Prune channels here, factorise layers there, leave others as they are.

    1x1 convolutions and Linear layers may be factorised by SVD, larger kernels by Tucker; channels
    are pruned first. `HybridSettings` says what the settings mean.

    Raises:
        CompressionError: a setting is out of range.
    """

    target: Target

    def __post_init__(self) -> None:
        """Builds the steps that it is made of."""
        super().__post_init__()
        self.pruning = Prune(
            target=self.target,
            ratios="optimal",
            importance=self.importance,
            round_to=self.round_to,
            min_ratio=self.min_ratio,
            exclude=self.exclude,
            refit=self.refit,
        )
        self.factorizations: dict[str, Factorization] = {
            "svd": SVD(whiten=self.whiten),
            "tucker": Tucker(whiten=self.whiten),
        }

    def plan(self, network: nn.Module, context: Context, round: int) -> HybridPlan:
        """The plans of its parts.

        Raises:
            CompressionError: there are no training images, nothing can be cut or factorised, the
                target is out of reach, or a pattern matches nothing.
        """

        def scanned(step: Step, treatments: Sequence[Treatment]) -> list[LossPoint]:
            return scan_losses(step, treatments, network, context)

        plan = self._decided(network, context, round, scanned, timed=self._by_time)
        self._require_change(plan, round)
        if context.moments is None:
            return plan
        return fitted(plan, network, context, self.pruning, self.factorizations)

    def structural_plan(
        self, network: nn.Module, context: Context, round: int
    ) -> StructuralPlan[HybridPlan]:
        """One of the plans that may come out, whatever the scans will say.

        Raises:
            CompressionError: nothing can be cut or factorised, the target is out of reach, or a
                pattern matches nothing.
        """
        blind = copy.copy(self)
        blind.pruning = copy.copy(self.pruning)
        blind.pruning.importance = AnyScore(self.pruning.importance)
        looks: list[tuple[int, bool]] = [(0, False), (1, False)]  # in other sizes it may work
        if context.with_values is not None and self._by_time:
            looks.append((0, True))  # layers that get slower are left alone: it takes long
        for drawing, timed in looks:
            looked_at = network if not timed or not context.with_values else context.with_values()
            losses = partial(drawn_losses, drawing)
            try:
                plan = blind._decided(looked_at, context, round, losses, timed=timed)
                break
            except CompressionError:
                if (drawing, timed) == looks[-1]:
                    raise
        self._require_change(plan, round)
        return StructuralPlan(plan=plan, exact=False)

    @property
    def _by_time(self) -> bool:
        return self.target.measure == "latency"

    def _require_change(self, plan: HybridPlan, round: int) -> None:
        parts = plan["prune"], plan["svd"], plan["tucker"]
        if round == self.rounds - 1 == 0 and not any(parts):
            raise CompressionError(
                f"hybrid would change no layer ({plan['why']}). Ask for a smaller target, or a "
                f"smaller round_to (now {self.round_to})."
            )

    def _decided(
        self,
        network: nn.Module,
        context: Context,
        round: int,
        losses: Callable[[Step, Sequence[Treatment]], Sequence[LossPoint]],
        *,
        timed: bool,
    ) -> HybridPlan:
        """What is done, by the losses of treatments, and where it is timed by those of layers."""
        state = PruningState.of(network, context, round, self.pruning)
        steps = self.pruning, self.factorizations
        choice = HybridChoice.of(*steps, state, network, context, losses)
        why_whole = state.why_whole()
        if why_whole and not choice.factorizes:
            raise CompressionError(
                f"hybrid finds no layer to factorise, and prune {why_whole}; nothing was changed."
            )
        measure, entered = self.target.measure, None
        if timed:
            entered = ("latency", entered_ms(network, context, round))
            choice.by_time()
            now = entered[1]
        else:
            now = network_cost(network, "macs" if self._by_time else measure, context.image_size)

        def plan_at(goal: RoundTarget) -> HybridPlan:
            counts, ranks, milliseconds = choice.at(goal, now)
            plan = self._composed(choice.state, counts, ranks, network, context)
            if why_whole:
                plan["no_channels"] = why_whole
            return plan if entered is None else {**plan, "predicted_ms": milliseconds}

        costs = context.entry_cost if self._by_time else context.entry_cost or {measure: now}
        goal = RoundTarget(self.target, costs, round, self.rounds)
        if not self._by_time:
            return plan_at(goal)
        plan = plan_for_latency(goal, plan_at, self.restructure, network, context, entered=entered)
        return {**plan, "why": plan.get("target", plan["why"])}

    def _composed(
        self,
        state: PruningState,
        counts: ChannelCounts,
        ranks: Mapping[str, Rank],
        network: nn.Module,
        context: Context,
    ) -> HybridPlan:
        """The plan of these numbers of channels, and of ranks in what they leave."""
        plan: HybridPlan = {"why": counts.report, "prune": None, "svd": None, "tucker": None}
        smaller = copy_network(network)
        if counts.counts != state.shape_trial.budget.whole():
            cut = plan_of_counts(state, counts, f"{state.importance.name}, hybrid")
            smaller, plan["prune"] = Prune.restructure(smaller, cut), cut
        for name, step in self.factorizations.items():
            candidates, skipped = step.candidates(smaller, context.image_size)
            part = select_ranks(candidates, ChosenRanks(ranks), None)
            if part["layers"]:
                part["skipped"] = {**skipped, **part["skipped"]}
                plan[name] = part  # type: ignore[literal-required]
                smaller = step.restructure(smaller, part)
        return plan

    @staticmethod
    def restructure(network: nn.Module, plan: HybridPlan) -> nn.Module:
        """Do what each part does, one after the other.

        Raises:
            CompressionError: the plan was made for another architecture.
        """
        if plan["prune"] is not None:
            network = Prune.restructure(network, plan["prune"])
        if plan["svd"] is not None:
            network = SVD.restructure(network, plan["svd"])
        if plan["tucker"] is not None:
            network = Tucker.restructure(network, plan["tucker"])
        return network

    def apply(
        self, network: nn.Module, plan: HybridPlan, context: Context | None = None
    ) -> nn.Module:
        """The network after each part; each fits its weights to what it finds."""
        smaller = network
        steps: dict[str, Step] = {"prune": self.pruning, **self.factorizations}
        for name, step in steps.items():
            part = plan[name]  # type: ignore[literal-required]
            if part is not None:
                own = context if smaller is network else following(context, smaller)
                smaller = step.apply(smaller, part, own)
        return copy_network(network) if smaller is network else smaller

    def prune_optimizer_state(self, plan: HybridPlan, name: str, value: Tensor) -> Tensor | None:
        """What survives of a tensor of the shape of parameter `name`, such as a moment of it."""
        if plan["prune"] is None:
            return value
        return self.pruning.prune_optimizer_state(plan["prune"], name, value)

    describe = staticmethod(hybrid_lines)
    describe_layers = staticmethod(hybrid_layer_lines)
