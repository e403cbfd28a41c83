"""What an optimizer knows of each parameter, kept over the rounds of a compression step."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from compression.step import Plan, Step

PREFIX = "network."  # of the network's parameters within the module that is fitted


class OptimizerState:
    """States by the parameter's name; empty before the first fit.

    The average of the weights (EMA) needs no such thing: a fit leaves it in the network, from
    where it is cut like all weights, and the next fit starts its average from there.
    """

    def __init__(self) -> None:
        self.states: dict[str, dict[str, Any]] = {}

    def capture(self, optimizer: Optimizer, module: nn.Module) -> None:
        """Remember what the optimizer knows at the end of a fit."""
        self.states = {
            name: {key: _on_cpu(value) for key, value in optimizer.state[parameter].items()}
            for name, parameter in module.named_parameters()
            if parameter in optimizer.state
        }

    def prune(self, step: Step, plan: Plan) -> None:
        """Do to all that has a parameter's shape what the plan does to the parameter."""
        found = {}
        for name, state in self.states.items():
            own = name.removeprefix(PREFIX)
            after = {
                key: step.prune_optimizer_state(plan, own, value) if _is_moment(value) else value
                for key, value in state.items()
            }
            if all(value is not None for value in after.values()):
                found[name] = after
        self.states = found

    def restore(self, optimizer: Optimizer, module: nn.Module) -> Optimizer:
        """Let a new optimizer go on from there, where the shapes are those of its parameters."""
        for name, parameter in module.named_parameters():
            state = self.states.get(name, {})
            if state and all(v.shape == parameter.shape for v in state.values() if _is_moment(v)):
                optimizer.state[parameter] = dict(state)
        return optimizer


def _is_moment(value: Any) -> bool:
    return isinstance(value, Tensor) and value.ndim > 0


def _on_cpu(value: Any) -> Any:
    return value.detach().to("cpu", copy=True) if isinstance(value, torch.Tensor) else value
