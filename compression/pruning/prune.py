"""Channel pruning: whole channels are taken out of all layers that they run through.

The structure follows Fang et al. 2023, "DepGraph: Towards Any Structural Pruning": what depends on
each other is cut together. Here it is read off the labels of a forward pass (see `trace`), so that
reshapes, channel shuffle, chunks and concatenation are followed exactly.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor, nn

from compression.errors import CompressionError
from compression.latency.latency_target import plan_for_latency
from compression.pruning.budget import (
    Shares,
    global_shares,
    meet_target,
    sensitivity_shares,
    uniform_shares,
)
from compression.pruning.channel_groups import ChannelGroup, Channels
from compression.pruning.cutting import cut_structure, cut_tensor, tensor_axes
from compression.pruning.feasibility import Rehearsal, cuttable
from compression.pruning.importance import score_channels
from compression.pruning.settings import SENSITIVITY, check_settings
from compression.pruning.settling import Ground, Settled, settle
from compression.pruning.sizing import Sizing
from compression.pruning.sparsity import PENALTIES
from compression.pruning.trace import IN, Key, trace_channels
from compression.pruning.trials import trials_of
from compression.sensitivity.loss_bound import LossBounds
from compression.sensitivity.scan import scan
from compression.step import Context, Plan, Step, Trial, chosen
from compression.target import Aim, OutOfReach, Target, round_target

SCALED = ("l1", "l2", "fpgm")  # importances whose scale differs from layer to layer
DEFAULT_TARGET = {"macs": 0.6}


class Prune(Step):
    """Take out the least important channels, in whole numbers of `round_to`.

    The classifier's outputs and the image's channels stay, and no layer loses all of its channels.

    Args:
        target: `{macs: 0.5}`, `{params: 0.5}` or `{latency: 0.6}` (measured) of the network
            entering the step; `{macs: 0.6}` where neither it nor `ratio` is given.
        ratio: instead of it: share of its channels that every group of layers keeps, in (0, 1].
        importance: one of `settings.IMPORTANCES`; `taylor` needs data.
        scope: `global`: the least important channels of the whole network go; `uniform`: every
            group of layers loses the same share.
        ratios: `sensitivity` in the place of `scope`: every group of layers keeps what it needs to
            lose, alone, no more macro-F1 than one bound, which the target turns (see
            `loss_bound`). Each round begins with a scan, which needs labelled images.
        rounds: in how many rounds to get there.
        round_to: numbers of channels are multiples of this; where a layer is narrower than four of
            them, of a half, a quarter... of it.
        least: share of its channels that every group keeps at least.
        ignore: name patterns of layers whose outputs stay as they are.
        sparsity: one of `settings.PENALTIES`, added to the loss before the first round (in the
            step's `prepare_epochs`) and between rounds, so that channels become dispensable.
        strength: factor on that penalty.

    Raises:
        CompressionError: a setting is out of range.
    """

    name = "prune"

    def __init__(
        self,
        *,
        target: Mapping[str, float | None] | None = None,
        ratio: float | None = None,
        importance: str = "l2",
        scope: str = "global",
        ratios: str | None = None,
        rounds: int = 1,
        round_to: int = 8,
        least: float = 0.1,
        ignore: Sequence[str] = (),
        sparsity: str | None = None,
        strength: float = 1e-4,
    ) -> None:
        words = {"importance": importance, "scope": scope, "ratios": ratios, "sparsity": sparsity}
        numbers = {"ratio": ratio, "rounds": rounds, "round_to": round_to, "least": least}
        check_settings(self.name, {**words, **numbers, "strength": strength, "target": target})
        self.target = Target.of(target, "prune.target")
        if ratio is None and self.target is None:
            self.target = Target.of(DEFAULT_TARGET)
        self.sparsity, self.strength = sparsity, strength
        self.ratio, self.importance, self.scope = ratio, importance, ratios or scope
        self.rounds, self.round_to, self.least = rounds, round_to, least
        self.ignore = list(ignore)

    def plan(self, network: nn.Module, context: Context, round: int) -> Plan:
        """Which indices of which tensors survive, and why.

        Raises:
            CompressionError: nothing can be cut, the target is out of reach, a pattern matches
                nothing, or the importance or sensitivity cannot be measured.
        """
        ground = self._ground(network, context, round)
        shares = self._shares(ground, network, context)

        def plan_at(aim: Aim | float) -> Plan:
            found = self._sized(aim, ground, shares)
            return {**found, "left": ground.left, "unknown": ground.channels.trace.unknown}

        plan = self._reach(plan_at, network, context, round)
        cut = any(after < before for _, after, before in plan["layers"])
        if not cut and round == self.rounds - 1 == 0:
            raise CompressionError(
                f"prune would take out no channel ({plan['why']}). Ask for a smaller share, or a "
                f"smaller round_to (now {self.round_to})."
            )
        return plan

    def _reach(
        self,
        plan_at: Callable[[Aim | float], Plan],
        network: nn.Module,
        context: Context,
        round: int,
    ) -> Plan:
        """The plan for what this round aims at."""
        way = {"round": round, "rounds": self.rounds}
        if self.target is None:
            share = round_target(self.ratio, round, self.rounds)
            return plan_at(share / round_target(self.ratio, round - 1, self.rounds))
        if self.target.measure != "latency":
            return plan_at(Aim(self.target, context.entry_cost, **way))
        plan = plan_for_latency(self.target, plan_at, self.restructure, network, context, **way)
        return {**plan, "why": self._why(plan["target"])}

    def _sized(self, aim: Aim | float, ground: Ground, shares: Shares) -> Plan:
        """The part of the plan that follows from an aim, or from a share of the channels."""
        settled = settle(ground, lambda sizing: self._steps(aim, sizing, shares))
        return self._planned(ground, settled)

    def _planned(self, ground: Ground, settled: Settled) -> Plan:
        steps, kept, report = settled
        layers = ground.rehearsal.sizing.layers(steps)
        return {
            **_compact(ground.channels, kept),
            "layers": [layer for number, layer in enumerate(layers) if number in ground.free],
            "why": self._why(report),
        }

    def trials(self, network: nn.Module, context: Context, shares: Sequence[float]) -> list[Trial]:
        """Each group of layers cut alone.

        Raises:
            CompressionError: nothing can be cut.
        """
        return self._trials(self._ground(network, context, 0), shares)

    def _trials(self, ground: Ground, shares: Sequence[float]) -> list[Trial]:
        return trials_of(ground, shares, self.importance, partial(self._planned, ground))

    def _why(self, report: str) -> str:
        return f"{self.importance}, {self.scope}: {report}"

    def _ground(self, network: nn.Module, context: Context, round: int) -> Ground:
        """What is known of the network before sizes are chosen.

        Raises:
            CompressionError: nothing can be cut.
        """
        channels = Channels(trace_channels(network, context.image_size))
        scores = score_channels(self.importance, network, channels, context, round)
        groups, left = self._free(network, channels, scores)
        sizing = Sizing(network, channels, groups, round_to=self.round_to, least=self.least)
        rehearsal = Rehearsal(network, sizing, context.image_size)
        free, held = cuttable(rehearsal)
        for number, place in held.items():
            left[sizing.names[number]] = f"fixed by the code of {_class(network, place)}"
            sizing.allowed[number] = [groups[number].steps]
        if not free:
            raise CompressionError(_nothing(left, channels.trace.unknown))
        return Ground(channels, scores, rehearsal, free, left)

    def _free(
        self, network: nn.Module, channels: Channels, scores: np.ndarray
    ) -> tuple[list[ChannelGroup], dict[str, str]]:
        """The groups that may be cut, and why others may not, by name."""
        left: dict[str, str] = {}
        makers = {name.rpartition(".")[0] for name, axis in channels.of_key if axis == 0}
        ignored = chosen(sorted(makers), self.ignore, []) if self.ignore else set()
        free = []
        for group in channels.groups:
            made = {name.rpartition(".")[0] for name, axis in group.cells if axis == 0}
            numbers = [channels.members[s, False][0] for s in group.signatures]
            if made & ignored:
                left[group.name] = "ignored"
            elif np.isnan(scores[numbers]).any():
                left[group.name] = f"without {self.importance}"
            else:
                free.append(group)
        return free, left

    def _shares(self, ground: Ground, network: nn.Module, context: Context) -> Shares:
        """How a setting of the knob is shared out among the groups."""
        sizing = ground.rehearsal.sizing
        if self.scope == SENSITIVITY:
            trials = self._trials(ground, self.scanned)
            return sensitivity_shares(sizing, LossBounds(scan(self, trials, network, context)))
        if self.scope == "uniform":
            return uniform_shares(sizing)
        normalise = self.importance in SCALED
        return global_shares(sizing, ground.channels, ground.scores, normalise=normalise)

    def _steps(
        self, aim: Aim | float, sizing: Sizing, shares: Shares
    ) -> tuple[dict[int, int], str]:
        if not isinstance(aim, Aim):
            steps = {n: sizing.nearest(n, share) for n, share in enumerate(shares(aim))}
            return steps, f"{aim:.3g} of the channels"
        try:
            steps, solution = meet_target(sizing.without_coarse(), shares, aim)
        except OutOfReach:  # only as far as it must be, layers are cut in large steps
            steps, solution = meet_target(sizing, shares, aim)
        return steps, aim.report(solution)

    @staticmethod
    def restructure(network: nn.Module, plan: Plan) -> nn.Module:
        """Put empty tensors of the smaller sizes in place.

        Raises:
            CompressionError: the plan was made for another architecture.
        """
        return cut_structure(network, plan)

    def carry(self, network: nn.Module, smaller: nn.Module, plan: Plan) -> None:
        before = {**dict(network.named_parameters()), **dict(network.named_buffers())}
        after = {**dict(smaller.named_parameters()), **dict(smaller.named_buffers())}
        for name in plan["axes"]:
            groups = plan["groups"].get(name, 1)
            after[name].copy_(cut_tensor(before[name], tensor_axes(plan, name), groups))

    def follow(self, plan: Plan, name: str, value: Tensor) -> Tensor | None:
        if name not in plan["axes"]:
            return value
        return cut_tensor(value, tensor_axes(plan, name), plan["groups"].get(name, 1))

    def penalty(self, network: nn.Module) -> Tensor | None:
        return self.strength * PENALTIES[self.sparsity](network) if self.sparsity else None

    @staticmethod
    def describe(plan: Plan) -> list[str]:
        """How many channels are left in all, then what was left alone and why."""
        kept, before = (sum(layer[i] for layer in plan["layers"]) for i in (1, 2))
        cut = [layer for layer in plan["layers"] if layer[1] < layer[2]]
        layers = "layer" if len(cut) == 1 else "layers"
        line = f"kept {kept} of {before} channels, {len(cut)} {layers} cut ({plan['why']})"
        return [line, *(f"{count} left alone: {reason}" for reason, count in _reasons(plan))]

    @staticmethod
    def describe_layers(plan: Plan) -> dict[str, str]:
        done = {
            name: f"kept {after} of {width} channels ({plan['why']})"
            for name, after, width in plan["layers"]
        }
        return {**{name: f"left alone: {why}" for name, why in plan["left"].items()}, **done}


def _reasons(plan: Plan) -> list[tuple[str, int]]:
    """Why layers were left alone, with their number; operations that nobody has explained."""
    unknown = {f"its channels enter {op} in {at or 'it'}": 1 for op, at in plan["unknown"].items()}
    return [*{**Counter(plan["left"].values()), **unknown}.items()]


def _compact(channels: Channels, kept: dict[Key, list[int]]) -> dict[str, Any]:
    """The axes that change, with every list of indices written once."""
    lists: dict[tuple[int, ...], int] = {}
    axes: dict[str, dict[str, int]] = {}
    for (name, axis), indices in kept.items():
        if indices == list(range(channels.trace.keys[name, axis][1])):
            continue
        number = lists.setdefault(tuple(indices), len(lists))
        axes.setdefault(name, {})["1" if axis == IN else str(axis)] = number
    return {
        "kept": [list(indices) for indices in lists],
        "axes": axes,
        "shapes": {name: list(channels.trace.shapes[name]) for name in axes},
        "groups": {n: channels.trace.groups[n, IN] for n in axes if (n, IN) in kept},
    }


def _class(network: nn.Module, place: str) -> str:
    return type(network.get_submodule(place)).__name__


def _nothing(left: Mapping[str, str], unknown: Mapping[str, str]) -> str:
    reasons = [f"{n} groups of layers {reason}" for reason, n in Counter(left.values()).items()]
    reasons += [f"the operation {op} in {place or 'it'}" for op, place in unknown.items()]
    told = f" ({', '.join(reasons)})" if reasons else ""
    return f"prune can take no channels out of this network{told}; nothing was changed."
