"""What a plan must be: something is done by it, and the network still runs."""

from torch import nn

from compression.context import Context
from compression.cost import meta_copy, network_cost, output_shape
from compression.errors import CompressionError
from compression.factorization.plan import FactorizationPlan, counted
from compression.factorization.rank_rule import Rule
from compression.factorization.settings import FactorizationSettings
from compression.step import Step


def require_running(
    step: Step[FactorizationPlan], network: nn.Module, plan: FactorizationPlan, context: Context
) -> None:
    """Some networks read their layers' weights and settings instead of calling them.

    Raises:
        CompressionError: the network fails with the products of the plan.
    """
    try:
        output_shape(step.restructure(meta_copy(network), plan), context.image_size)
    except (AttributeError, TypeError, CompressionError) as error:
        reason = str(error).rstrip(".")
        raise CompressionError(
            f"{step.name} cannot be done on this network, which looks into its layers: {reason}; "
            f"leave the layer out by {step.name}.exclude."
        ) from error


def nothing_done(
    step: FactorizationSettings, kinds: str, rule: Rule, plan: FactorizationPlan
) -> CompressionError:
    """The refusal of a step that would change no layer.

    Args:
        step: with its settings.
        kinds: of layers, in words, that it is for.
        rule: that chose the ranks.
        plan: says why layers are left alone.
    """
    reasons = counted(plan["skipped"]) or "there are none of its kind"
    grouped = step.groups == "leave" and "grouped" in plan["skipped"].values()
    split = f", {step.name}.groups=split" if grouped else ""
    return CompressionError(
        f"{step.name} by {rule.why()} changes no layer of this network ({reasons}); it is for "
        f"{kinds}, so choose lower ranks{split} or another step."
    )


def begun(network: nn.Module, context: Context) -> bool:
    """Whether an earlier round of the step made the network cheaper already."""
    return any(
        network_cost(network, measure, context.image_size) < context.entry_cost[measure]
        for measure in ("macs", "params")
        if measure in context.entry_cost
    )
