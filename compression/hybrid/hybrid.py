"""A step that chooses for each layer between pruning, SVD, Tucker and nothing, under one budget.

Li et al. 2021, "Towards Compact CNNs via Collaborative Compression", likewise weigh channels
against ranks. Here the weight is what each treatment alone does to the logits on training images,
and the budget is shared out by optimisation (see `allocation`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor, nn

from compression.cost import network_cost
from compression.engine import recalibrate
from compression.factorization import SVD, Factorization, Rule, Tucker
from compression.factorization.candidate import Candidate
from compression.factorization.fitting import see_inputs
from compression.factorization.plan import FactorizationPlan
from compression.factorization.rank_selection import select_ranks
from compression.hybrid.choice import HybridChoice
from compression.hybrid.hybrid_costs import Rank
from compression.hybrid.plan import HybridPlan, hybrid_layer_lines, hybrid_lines
from compression.hybrid.settings import HybridSettings
from compression.latency import entered_ms, plan_for_latency
from compression.layer_moments import InputMoments
from compression.network_copy import copy_network
from compression.pruning.channel_counts import ChannelCounts, plan_of_counts
from compression.pruning.prune import Prune
from compression.pruning.pruning_state import PruningState
from compression.pruning.refit import with_refit
from compression.step import Context, Step
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
        )
        self.factorizations: dict[str, Factorization] = {"svd": SVD(), "tucker": Tucker()}

    def plan(self, network: nn.Module, context: Context, round: int) -> HybridPlan:
        """The plans of its parts.

        Raises:
            CompressionError: there are no training images, no channels can be cut, the target is
                out of reach, or a pattern matches nothing.
        """
        state = PruningState.of(network, context, round, self.pruning)
        choice = HybridChoice(self.pruning, self.factorizations, state, network, context)
        measure = self.target.measure
        entered = None
        if measure == "latency":
            entered = ("latency", entered_ms(network, context, round))
            choice.by_time()
            now = entered[1]
        else:
            now = network_cost(network, measure, context.image_size)

        def plan_at(goal: RoundTarget) -> HybridPlan:
            counts, ranks, milliseconds = choice.at(goal, now)
            plan = self._composed(choice.state, counts, ranks, network, context)
            return plan if entered is None else {**plan, "predicted_ms": milliseconds}

        if entered is None:
            costs = context.entry_cost or {measure: now}
            plan = plan_at(RoundTarget(self.target, costs, round, self.rounds))
        else:
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
            plan = {**plan, "why": plan.get("target", plan["why"])}
        return plan if context.moments is None else self._fitted(plan, network, context)

    def _fitted(self, plan: HybridPlan, network: nn.Module, context: Context) -> HybridPlan:
        """The plan with how weights are fitted to data, part by part."""
        smaller = network
        assert context.moments is not None
        if plan["prune"] is not None:
            plan["prune"] = with_refit(plan["prune"], network, context, self.pruning.refit)
            smaller = self.pruning.apply(network, plan["prune"], context)
        for name, step in self.factorizations.items():
            part: FactorizationPlan | None = plan[name]  # type: ignore[literal-required]
            if part is None:
                continue
            own = context if smaller is network else _moved(context, smaller)
            assert own is not None and own.moments is not None
            found, _ = step.candidates(smaller, context.image_size)
            candidates = [candidate for candidate in found if candidate.name in part["layers"]]
            see_inputs(candidates, smaller, own)
            for candidate in candidates:
                if candidate.whitening is not None:
                    part["layers"][candidate.name]["whitened"] = candidate.whitening.plan()
            part["images"] = own.moments.seen
            smaller = step.apply(smaller, part, own)
        return plan

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
            cut = plan_of_counts(state, counts, f"{self.pruning.importance.name}, hybrid")
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
                own = context if smaller is network else _moved(context, smaller)
                smaller = step.apply(smaller, part, own)
        return copy_network(network) if smaller is network else smaller

    def prune_optimizer_state(self, plan: HybridPlan, name: str, value: Tensor) -> Tensor | None:
        """What survives of a tensor of the shape of parameter `name`, such as a moment of it."""
        if plan["prune"] is None:
            return value
        return self.pruning.prune_optimizer_state(plan["prune"], name, value)

    describe = staticmethod(hybrid_lines)
    describe_layers = staticmethod(hybrid_layer_lines)


class ChosenRanks(Rule):
    """Ranks that were chosen layer by layer, as far as a narrower layer has them.

    Args:
        ranks: by layer.
    """

    nothing = "whole by the optimum"

    def __init__(self, ranks: Mapping[str, Sequence[int]]) -> None:
        self.ranks = ranks

    def rank(self, candidate: Candidate, number: int, rounds: int) -> list[int]:
        """The rank of a layer; zeros leave it whole."""
        wanted = self.ranks.get(candidate.name) or [0] * len(candidate.max_rank)
        return [min(pair) for pair in zip(wanted, candidate.max_rank, strict=True)]

    def why(self) -> str:
        """Always `hybrid`."""
        return "hybrid"


def _moved(context: Context | None, network: nn.Module) -> Context | None:
    """The context for the next part, which finds another network: of our own, recalibrated."""
    if context is None or context.train_batches is None:
        return None
    recalibrate(network, context.train_batches())
    moments = InputMoments(network, context.train_batches, seed=context.seed)
    return replace(context, moments=moments)
