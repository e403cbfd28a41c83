"""A step that puts a product of small layers where a layer is: what all such steps share."""

import copy
from collections.abc import Sequence
from typing import ClassVar

from torch import nn

from compression.bisection import UnreachableTargetError
from compression.context import Context
from compression.cost import Geometry
from compression.errors import CompressionError
from compression.factorization.asymmetric_fit import fit_in_sequence
from compression.factorization.candidate import Candidate, find_candidates
from compression.factorization.decomposition import Decomposition, fill, freeze_as
from compression.factorization.fitting import DECOMPOSING, fit_products, see_inputs
from compression.factorization.found_layers import find_layers
from compression.factorization.layer_timer import LayerTimer
from compression.factorization.plan import FactorizationPlan, layer_lines, plan_lines
from compression.factorization.plan_checks import begun, nothing_done, require_running
from compression.factorization.rank_choice import make_rule
from compression.factorization.rank_rule import Rule
from compression.factorization.rank_rules import SmallestRanks
from compression.factorization.rank_selection import layer_treatments, ratio_space, select_ranks
from compression.factorization.settings import FactorizationSettings
from compression.factorization.target_ranks import plan_for_target
from compression.latency import torch_threads
from compression.sensitivity import loss_ratios, scan, scan_losses
from compression.step import LayerSpace, Step, StructuralPlan, Treatment
from compression.target import RoundTarget, Target


class Factorization(FactorizationSettings, Step[FactorizationPlan]):
    """The base of tucker, cp, svd and spatial_svd, which say what the product looks like.

    A layer that was factorised before, in an earlier round or run, is shrunk further and stays one
    product. A layer that would not get cheaper is left alone; the plan says why.

    `FactorizationSettings` says what its settings mean.

    Raises:
        CompressionError: a setting out of range.
    """

    decomposition: ClassVar[type[Decomposition]]
    target: Target | None

    def __post_init__(self) -> None:
        """Builds the rule that the settings ask for, while no image is seen."""
        super().__post_init__()
        self.rule = self._rule(())

    def plan(self, network: nn.Module, context: Context, round: int) -> FactorizationPlan:
        """Ranks by layer name, and why other layers are left alone.

        Raises:
            CompressionError: a pattern matches nothing, the target is out of reach, no layer of
                the network can be changed, or its sensitivity cannot be measured.
        """
        candidates, skipped = self._seen(network, context)

        def treatments(ratios: Sequence[float]) -> list[Treatment]:
            return self._treatments(candidates, network, context, ratios)

        ratios, rule = self.scan_ratios, self._rule(candidates)
        rule = rule.with_sensitivity(lambda: scan(self, treatments(ratios), network, context))
        rule = rule.with_losses(
            lambda: scan_losses(self, treatments(loss_ratios(ratios)), network, context)
        )
        plan = self._plan(rule, candidates, skipped, network, context, round)
        if context.moments is None or not any("whitened" in p for p in plan["layers"].values()):
            return plan
        return {**plan, "images": context.moments.seen}

    def structural_plan(
        self, network: nn.Module, context: Context, round: int
    ) -> StructuralPlan[FactorizationPlan]:
        """The ranks where sizes decide them; else the smallest, if the rule can give any layer one.

        Raises:
            CompressionError: a pattern matches nothing, the target is out of reach, or no layer of
                the network can be changed.
        """
        candidates, skipped = self.candidates(network, context.image_size)
        exact = self.rule.by_size and self.prefer == "macs"
        if self.target is not None and self.target.measure == "latency":
            exact = False
        blind = copy.copy(self)
        blind.prefer = "macs"  # no layer can be measured
        blind.rule = self.rule if self.rule.by_size else SmallestRanks(self.rule)
        try:
            plan = blind._plan(blind.rule, candidates, skipped, network, context, round)
        except UnreachableTargetError:
            if context.with_values is None or context.relative_latency is None:
                raise
            # Layers that get slower by it are left alone, which must be measured: it takes long.
            valued = context.with_values()
            candidates, skipped = self.candidates(valued, context.image_size)
            plan = blind._plan(blind.rule, candidates, skipped, valued, context, round)
        return StructuralPlan(plan=plan, exact=exact)

    @torch_threads(DECOMPOSING)
    def _plan(
        self,
        rule: Rule,
        candidates: list[Candidate],
        skipped: dict[str, str],
        network: nn.Module,
        context: Context,
        round: int,
    ) -> FactorizationPlan:
        target, timer = self.target, LayerTimer() if self.prefer == "latency" else None
        if target is None:
            rule.check(candidates)
            rule = rule.among(candidates, "macs")
            plan = select_ranks(candidates, rule, timer, round, self.rounds)
        else:
            goal = RoundTarget(target, context.entry_cost, round, self.rounds)
            plan = plan_for_target(
                goal, rule, candidates, network, context, timer, self.restructure
            )
        plan = {**plan, "skipped": {**skipped, **plan["skipped"]}}
        last = round == self.rounds - 1
        if not plan["layers"] and (not candidates or (last and not begun(network, context))):
            raise nothing_done(self, self.decomposition.kinds, rule, plan)
        require_running(self, network, plan, context)
        return plan

    @classmethod
    def restructure(cls, network: nn.Module, plan: FactorizationPlan) -> nn.Module:
        """Put an empty product where each planned layer is.

        Raises:
            CompressionError: the plan was made for another architecture.
        """
        layers = find_layers(network, cls.decomposition)
        other = f"The {cls.name} plan was made for another architecture:"
        for name, choice in plan["layers"].items():
            if name not in layers:
                raise CompressionError(f"{other} there is no layer for it called {name!r}.")
            layer = layers[name]
            full = cls.decomposition.max_rank(layer)
            if full != list(choice["channels"]):
                raise CompressionError(
                    f"{other} {name!r} has {full} channels instead of {choice['channels']}."
                )
            product = cls.decomposition.structure(Geometry.of(layer), choice["rank"])
            freeze_as(product, layer)
            network.set_submodule(name, product.train(layer.training))
        return network

    @torch_threads(DECOMPOSING)
    def transfer_weights(
        self, network: nn.Module, smaller: nn.Module, plan: FactorizationPlan
    ) -> None:
        """Fill each product with the factors of its layer's kernel.

        Raises:
            TypeError: `smaller` was not restructured by the plan, so a layer is still there.
            CompressionError: a kernel holds a NaN or an infinity.
        """
        layers = find_layers(network, self.decomposition)
        for name, choice in plan["layers"].items():
            product, layer = smaller.get_submodule(name), layers[name]
            if not isinstance(product, nn.Sequential):
                raise TypeError(f"There is no product at {name!r}, but {type(product).__name__}.")
            fill(product, layer, self.decomposition, choice["rank"])

    def treatments(
        self, network: nn.Module, context: Context, ratios: Sequence[float]
    ) -> list[Treatment]:
        """Each layer factorised alone; only where it gets cheaper.

        Raises:
            CompressionError: a pattern matches nothing.
        """
        candidates, _ = self._seen(network, context)
        return self._treatments(candidates, network, context, ratios)

    def _treatments(
        self,
        candidates: list[Candidate],
        network: nn.Module,
        context: Context,
        ratios: Sequence[float],
    ) -> list[Treatment]:
        def running(plan: FactorizationPlan) -> FactorizationPlan | None:
            try:
                require_running(self, network, plan, context)
            except CompressionError:
                return None
            return plan

        return layer_treatments(candidates, ratios, running)

    def fit_weights(
        self, network: nn.Module, smaller: nn.Module, plan: FactorizationPlan, context: Context
    ) -> None:
        """Bring the outputs of products nearest to those of their layers, where the plan says so.

        Raises:
            CompressionError: a layer's inputs are not finite.
        """
        assert context.moments is not None
        layers = find_layers(network, self.decomposition)
        chosen = {name: own for name, own in plan["layers"].items() if "whitened" in own}
        fit_products(smaller, layers, self.decomposition, chosen, context.moments)
        fit_in_sequence(network, smaller, layers, self.decomposition, chosen, context.moments)

    describe = staticmethod(plan_lines)
    describe_layers = staticmethod(layer_lines)

    def layer_space(self, network: nn.Module, image_size: int | Sequence[int]) -> LayerSpace:
        """The ratio of its full rank for each layer that could be changed.

        Raises:
            CompressionError: a pattern matches nothing.
        """
        return ratio_space(self.candidates(network, image_size)[0])

    def _seen(self, network: nn.Module, context: Context) -> tuple[list[Candidate], dict[str, str]]:
        """The candidates, with what their inputs are on training images, if that is wanted."""
        if self.whiten is True and context.moments is None:
            raise CompressionError(
                f"{self.name}.whiten=true needs training images, and there are none here; give "
                "some (batches=), or leave it at auto, which then goes by the weights alone."
            )
        candidates, skipped = self.candidates(network, context.image_size)
        if self.whiten is not False and context.moments is not None:
            see_inputs(candidates, network, context)
        return candidates, skipped

    def _rule(self, candidates: Sequence[Candidate]) -> Rule:
        """The rule asked for; with a target and none named, the best one there is."""
        whitened = any(candidate.whitening is not None for candidate in candidates)
        best = "error" if whitened and self.decomposition.fits_ranks else "energy"
        solves = self.target is not None
        return make_rule(self.ranks, f"{self.name}.ranks", self, solves=solves, best=best)

    def candidates(
        self, network: nn.Module, image_size: int | Sequence[int]
    ) -> tuple[list[Candidate], dict[str, str]]:
        """The layers that can be factorised, and why others cannot, by name.

        Raises:
            CompressionError: a pattern matches nothing.
        """
        split = self.groups == "split"
        patterns = self.include, self.exclude
        return find_candidates(network, image_size, self.decomposition, patterns, split=split)
