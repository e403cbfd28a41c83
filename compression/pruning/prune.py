"""Channel pruning: whole channels are taken out of all layers that they run through.

The structure follows Fang et al. 2023, "DepGraph: Towards Any Structural Pruning": what depends on
each other is cut together. Here it is read off the labels of a forward pass (see `trace`), so that
reshapes, channel shuffle, chunks and concatenation are followed exactly.
"""

import copy
from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from compression.context import Context
from compression.errors import CompressionError
from compression.pruning.any_score import AnyScore
from compression.pruning.cutting import cut_by_plan, cut_structure
from compression.pruning.folding import folded
from compression.pruning.importance import Importance
from compression.pruning.penalties import weighted
from compression.pruning.prune_plan import (
    PrunePlan,
    describe_plan,
    describe_plan_layers,
    require_cut,
)
from compression.pruning.prune_round import PruneRound
from compression.pruning.refit import refit, with_refit
from compression.pruning.settings import IMPORTANCES, PENALTIES, PruneSettings
from compression.step import Step, StructuralPlan, Treatment


class Prune(PruneSettings, Step[PrunePlan]):
    """Take out the least important channels, in whole numbers of `round_to`.

    The classifier's outputs and the image's channels stay, and no layer loses all of its channels.

    Args:
        target: `{macs: 0.5}`, `{params: 0.5}`, `{file_bytes: 0.5}` or `{latency: 0.6}` (measured)
            of the network entering the step; `{macs: 0.6}` where neither it nor `ratio` is given.
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
        prefer: `macs` takes channels wherever they matter least; `latency`, and a target of it,
            leave groups of layers whole that are no faster at their smallest size in onnxruntime.
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
        found = PruneRound.of(self, network, context, round, timed=self.by_time)
        plan = found.plan()
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
        exact = self.scope == "uniform" and self.ratios is None and not self.by_time
        looks: list[tuple[Literal["uniform", "global"], bool]] = [("uniform", False)]
        if not exact:
            # In other sizes it may work: what sizes a network takes is found by trying.
            looks.append(("global", False))
        if self.by_time and context.with_values is not None:
            looks.append(("global", True))  # slow layers are left alone, which may be enough
        for look in looks:
            blind.scope, timed = look
            try:
                plan = PruneRound.of(blind, network, context, round, timed=timed).plan()
                break
            except CompressionError:
                if look == looks[-1]:
                    raise
        if exact or self.target is not None or self.ratio == 1:
            self._require_cut(plan, round)
        return StructuralPlan(plan=plan, exact=exact)

    def _require_cut(self, plan: PrunePlan, round: int) -> None:
        if round == self.rounds - 1 == 0:
            require_cut(plan, self.round_to)

    def treatments(
        self, network: nn.Module, context: Context, ratios: Sequence[float]
    ) -> list[Treatment]:
        """Each group of layers cut alone.

        Raises:
            CompressionError: nothing can be cut.
        """
        return PruneRound.of(self, network, context, 0).treatments(ratios)

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
