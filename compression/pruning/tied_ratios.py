"""Groups that a network's code computes from each other's width: they can only keep one ratio.

Attention in windows (Liu et al. 2021, arXiv:2103.14030) and with gates for positions (d'Ascoli et
al. 2021, arXiv:2103.10697) splits its queries by the width of what enters, so that these are cut
with it or not at all.
"""

from collections.abc import Sequence

from compression.pruning.channel_budget import Counts
from compression.pruning.shape_trial import ShapeTrial


def tied_ratios(
    shape_trial: ShapeTrial, candidates: Sequence[int], module: str, tried: Counts
) -> list[list[int]]:
    """Sets of groups that work at one ratio in a module in which they fail at several.

    What is found there is taken to hold in all modules of its class.

    Args:
        shape_trial: has the groups, and tries them out.
        candidates: numbers of the groups that fail together in the module.
        module: its name.
        tried: by number, the counts at which they fail; of all groups that can be cut.

    Returns:
        None where one ratio does not help either.
    """

    def work(together: Sequence[int]) -> bool:
        """At one ratio, with the other candidates at those that failed."""
        budget, number = shape_trial.budget.united([together])
        one = number[together[0]]
        if len(budget.allowed[one]) == 1:
            return False
        counts = {number[n]: tried[n] for n in candidates if n not in together}
        counts[one] = budget.count_to_try(one)
        failing = shape_trial.with_budget(budget).failing_module(counts)
        return failing is None or not f"{failing}.".startswith(f"{module}." if module else "")

    together = list(candidates)
    if len(together) < 2 or not work(together):
        return []
    parts = [together]
    while parts:
        part = parts.pop()
        others = [n for n in together if n not in part]
        if len(others) > 1 and work(others):
            together = others
        elif len(part) > 1:
            parts += part[: len(part) // 2], part[len(part) // 2 :]
    return _everywhere(shape_trial, together, module, tried)


def _everywhere(
    shape_trial: ShapeTrial, together: Sequence[int], module: str, tried: Counts
) -> list[list[int]]:
    """The groups that lie in other modules of the class as these do in one."""
    groups = shape_trial.budget.groups
    tensors = {groups[n].inside(module) for n in together}
    kind = type(shape_trial.bare.get_submodule(module))
    sets = [[*together]]
    for name, other in shape_trial.bare.named_modules():
        if type(other) is kind and name != module:
            sets.append([n for n in tried if groups[n].inside(name) in tensors])
    joined = _joined(sets)
    able = [own for own in joined if len(own) > 1 and _can_be_cut(shape_trial, own)]
    return able if any(n in own for own in able for n in together) else [[*together]]


def _can_be_cut(shape_trial: ShapeTrial, together: Sequence[int]) -> bool:
    budget, number = shape_trial.budget.united([together])
    return len(budget.allowed[number[together[0]]]) > 1


def _joined(sets: Sequence[Sequence[int]]) -> list[list[int]]:
    """Those that have a member in common are one."""
    root: dict[int, set[int]] = {}
    for own in sets:
        whole = {*own}.union(*(root.get(n, set()) for n in own))
        root.update(dict.fromkeys(whole, whole))
    return [sorted(own) for own in {id(own): own for own in root.values()}.values()]
