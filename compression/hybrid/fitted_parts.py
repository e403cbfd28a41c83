"""What training images say of the parts of a plan, each of what the parts before it left."""

from collections.abc import Mapping
from dataclasses import replace

from torch import nn

from compression.context import Context
from compression.factorization import Factorization
from compression.factorization.fitting import see_inputs
from compression.factorization.plan import FactorizationPlan
from compression.hybrid.plan import HybridPlan
from compression.layer_moments import InputMoments
from compression.pruning.prune import Prune
from compression.pruning.refit import with_refit
from compression.recalibration import recalibrate


def fitted(
    plan: HybridPlan,
    network: nn.Module,
    context: Context,
    pruning: Prune,
    factorizations: Mapping[str, Factorization],
) -> HybridPlan:
    """The plan with how weights are fitted to data, part by part.

    Args:
        plan: of `network`; its parts change.
        network: as it enters the round; stays as it is.
        context: of the round, with moments.
        pruning: says by its `refit` whether layers that lose inputs are refitted.
        factorizations: say by their `whiten` whether products are fitted.

    Raises:
        CompressionError: moments are not finite.
    """
    smaller = network
    if plan["prune"] is not None:
        plan["prune"] = with_refit(plan["prune"], network, context, pruning.refit)
        smaller = pruning.apply(network, plan["prune"], context)
    for name, step in factorizations.items():
        part: FactorizationPlan | None = plan[name]  # type: ignore[literal-required]
        if part is None or step.whiten is False:
            continue
        own = context if smaller is network else following(context, smaller)
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


def following(context: Context | None, network: nn.Module) -> Context | None:
    """The context for the next part, which finds another network: of our own, recalibrated."""
    if context is None or context.train_batches is None:
        return None
    recalibrate(network, context.train_batches())
    moments = InputMoments(network, context.train_batches, seed=context.seed)
    return replace(context, moments=moments)
