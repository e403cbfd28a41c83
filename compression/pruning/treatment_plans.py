"""Plans of single groups that are cut alone, with their refit: what a scan tries."""

from contextlib import suppress
from functools import cached_property

from torch import nn

from compression.context import Context
from compression.errors import CompressionError
from compression.pruning.channel_counts import (
    ChannelCounts,
    plan_of_counts,
    solve_channel_counts,
)
from compression.pruning.prune_plan import PrunePlan
from compression.pruning.pruning_state import PruningState
from compression.pruning.refit import see_cut_layers, with_refit


class TreatmentPlans:
    """Makes plans of sizes.

    Before the first of them, all layers that may be refitted are looked at together: one pass over
    the images instead of one for each group.

    Args:
        state: of the network.
        network: stays as it is.
        context: of the round.
        refit: see `with_refit`.
        why: of all plans, in words.
    """

    def __init__(
        self,
        state: PruningState,
        network: nn.Module,
        context: Context,
        *,
        refit: str | bool,
        why: str,
    ) -> None:
        self._state, self._network, self._context = state, network, context
        self._refit, self._why = refit, why

    def __call__(self, counts: ChannelCounts) -> PrunePlan:
        """The plan that cuts the network to these sizes.

        Raises:
            CompressionError: see `with_refit`.
        """
        if self._refit is not False:
            _ = self._all_seen
        plan = plan_of_counts(self._state, counts, self._why)
        return with_refit(plan, self._network, self._context, self._refit)

    @cached_property
    def _all_seen(self) -> bool:
        """Whether the moments of all layers that may lose inputs are there."""
        budget, moments = self._state.shape_trial.budget, self._context.moments
        if moments is None:
            return False
        smallest = {number: budget.nearest(number, 0) for number in self._state.prunable}
        with suppress(CompressionError):  # there may be no sizes for all; then one at a time
            counts = solve_channel_counts(
                self._state, lambda budget: ({**budget.whole(), **smallest}, ""), attempts=1
            )
            see_cut_layers(plan_of_counts(self._state, counts, ""), self._network, moments)
            return True
        return False
